"""A pipeline whose runs fail alike is held: once, with the reason, and not again on old evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import pytest

from neuroflow.cluster.base import ArrayRequest, JobRequest
from neuroflow.cluster.folders import LocalFolders
from neuroflow.config.recovery import Breaker
from neuroflow.domain import (
    AttemptRecord,
    AttemptStatus,
    ExitRecord,
    FailureClass,
    RunStatus,
    Sighting,
    SiteLimits,
)
from neuroflow.orchestrator.breaker import tripped
from neuroflow.orchestrator.reconcile import Poller
from neuroflow.orchestrator.services import Services
from tests.chain.site import Site
from tests.orchestrator.builders import NOW, attempt
from tests.support.states import add_session, open_run

POLICY = Breaker(failures=3, window=5)


def outcome(run_id: int, signature: str = "abc", *, message: str = "exit code 1: boom") -> AttemptRecord:
    """Return a failed attempt, or a successful one where the signature is empty."""
    status = AttemptStatus.FAILED if signature else AttemptStatus.SUCCEEDED
    failure = FailureClass.APPLICATION if signature else None
    return replace(
        attempt(), run_id=run_id, status=status, signature=signature, failure=failure, message=message, ended_at=NOW
    )


class TestChoice:
    def test_runs_that_failed_alike_trip_it(self) -> None:
        trip = tripped([outcome(3, message="the last"), outcome(2), outcome(1)], POLICY)
        assert trip is not None
        assert (trip.signature, trip.failure, trip.failed, trip.looked_at) == ("abc", FailureClass.APPLICATION, 3, 3)
        assert trip.example == "the last"

    def test_the_reason_names_count_signature_error_and_what_to_do(self) -> None:
        trip = tripped([outcome(3), outcome(2), outcome(1), outcome(9, "")], POLICY)
        assert trip is not None
        words = trip.in_words("qsiprep")
        for part in ("3 of the last 4 runs", "signature abc", "application", "exit code 1: boom"):
            assert part in words
        assert "`neuroflow pipeline resume qsiprep`" in words

    @pytest.mark.parametrize(
        "outcomes",
        [
            [],
            [outcome(1), outcome(2)],
            [outcome(1), outcome(1), outcome(1), outcome(1)],
            [outcome(1), outcome(2), outcome(3, "def")],
            [outcome(1), outcome(2), *(outcome(n, "") for n in (3, 4, 5)), outcome(6)],
            [outcome(1, ""), outcome(2), outcome(3), outcome(1)],
        ],
        ids=["none", "too few", "one run alone", "not alike", "too long ago", "succeeded in the end"],
    )
    def test_what_does_not_trip_it(self, outcomes: list[AttemptRecord]) -> None:
        assert tripped(outcomes, POLICY) is None

    def test_attempts_of_one_run_do_not_push_others_out_of_the_window(self) -> None:
        assert tripped([*(outcome(1) for _ in range(9)), outcome(2), outcome(3)], POLICY) is not None

    def test_it_can_be_switched_off(self) -> None:
        assert tripped([outcome(n) for n in range(9)], replace_policy(enabled=False)) is None

    def test_a_long_error_is_cut_and_on_one_line(self) -> None:
        trip = tripped([outcome(n, message="a\nb" * 900) for n in range(3)], POLICY)
        assert trip is not None
        assert "\n" not in trip.example
        assert len(trip.example) <= 300


def replace_policy(*, enabled: bool) -> Breaker:
    return POLICY.model_copy(update={"enabled": enabled})


@dataclass
class FakeCluster:
    """A cluster on which every attempt has ended as the test says."""

    endings: dict[str, ExitRecord] = field(default_factory=dict)
    folders: ClassVar = LocalFolders()

    def submit(self, job: JobRequest) -> str:
        return "4711"

    def sight(self, attempts: Sequence[AttemptRecord]) -> dict[str, Sighting]:
        return {one.token: Sighting(True, False, exit_record=self.endings.get(one.token)) for one in attempts}

    def submit_array(self, array: ArrayRequest) -> list[str]:
        return [f"4711_{index}" for index, _ in enumerate(array.jobs)]

    def jobs_in_queue(self) -> None:
        return None

    def site_limits(self) -> SiteLimits:
        return SiteLimits()

    def cancel(self, attempts: Sequence[AttemptRecord]) -> None:
        return None

    def retire(self, attempts: Sequence[AttemptRecord]) -> None:
        return None

    def render(self, job: JobRequest) -> str:
        return ""

    def revoke(self, attempt: AttemptRecord) -> bool:
        return True


class Ward:
    """Runs of one pipeline, each of its own subject, and the polls that see them end."""

    def __init__(self, services: Services) -> None:
        self.cluster = FakeCluster()
        self.now = NOW
        state = type(services.state)(services.database, clock=lambda: self.now)
        self.services = replace(services, state=state, clusters={"slurm": self.cluster}, clock=lambda: self.now)
        self.started = 0

    def start(self, count: int) -> list[AttemptRecord]:
        attempts = []
        for _ in range(count):
            self.started += 1
            run = open_run(self.services.state, add_session(self.services.state, f"S{self.started:03}"))
            attempts.append(self.attempt(run.id))
        return attempts

    def attempt(self, run_id: int) -> AttemptRecord:
        resources = self.services.registry.get("bids_conversion").resources
        token = f"t-{run_id}-{self.now:%d%H%M%S}"
        made = self.services.state.claim_run(
            run_id,
            token=token,
            where="slurm",
            folder=str(self.services.config.attempts_dir / token),
            resources=resources,
            image=None,
            limit=99,
        )
        assert made is not None
        self.services.state.record_submitted(made.id, "4711")
        return self.services.state.get_attempt(made.id)

    def end(self, attempts: Sequence[AttemptRecord], error: str = "RuntimeError: boom in {scope}") -> None:
        for one in attempts:
            self.cluster.endings[one.token] = ExitRecord(
                token=one.token,
                job_id="4711",
                exit_code=1,
                signal=None,
                host="cn1",
                started_at=(self.now - timedelta(minutes=9)).timestamp(),
                ended_at=(self.now - timedelta(minutes=5)).timestamp(),
                stderr_tail=error.format(scope=one.scope),
                max_rss_mb=None,
            )

    def poll(self) -> dict[str, str]:
        self.now += timedelta(minutes=1)
        Poller(self.services, random=lambda: 0.0).poll()
        return self.services.holds()

    def held_events(self) -> int:
        return sum(entry.event == "pipeline.held" for entry in self.services.state.list_audit(entity="pipeline"))


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    """A pipeline that is held when three of the last five runs failed alike."""
    breaker = {"failures": 3, "window": 5}
    site = Site(tmp_path / "site", {"workflow": {"breaker": breaker, "retry": {"max_attempts": 3}}})
    services = site.services()
    yield Ward(services)
    services.database.close()


class TestPolls:
    def test_different_subjects_that_fail_alike_hold_the_pipeline_once(self, ward: Ward) -> None:
        attempts = ward.start(6)
        ward.end(attempts[:2])
        assert ward.poll() == {}
        ward.end(attempts[2:4])
        held = ward.poll()
        assert "4 of the last 4 runs failed alike" in held["bids_conversion"]
        assert "RuntimeError: boom in sub-S00" in held["bids_conversion"]
        ward.end(attempts[4:])
        assert ward.poll() == held
        assert ward.held_events() == 1

    def test_the_signature_stands_on_attempt_and_run(self, ward: Ward) -> None:
        attempts = ward.start(2)
        ward.end(attempts)
        ward.poll()
        state = ward.services.state
        signatures = {state.get_attempt(one.id).signature for one in attempts}
        signatures |= {state.get_run(one.run_id).signature for one in attempts}
        assert len(signatures) == 1
        assert "" not in signatures

    def test_one_run_that_fails_all_of_its_attempts_does_not(self, ward: Ward) -> None:
        (one,) = ward.start(1)
        for _ in range(3):
            ward.end([one])
            assert ward.poll() == {}
            run = ward.services.state.get_run(one.run_id)
            if run.status is not RunStatus.RETRY_WAIT:
                break
            ward.now += timedelta(hours=2)
            one = ward.attempt(run.id)
        assert ward.services.state.get_run(one.run_id).status is RunStatus.FAILED

    def test_runs_that_fail_in_different_ways_do_not(self, ward: Ward) -> None:
        for one, error in zip(ward.start(4), ("no dwi", "no mask", "no T1w", "no bvals"), strict=True):
            ward.end([one], f"Error: {error}")
        assert ward.poll() == {}

    def test_after_a_release_it_takes_new_failures(self, ward: Ward) -> None:
        ward.end(ward.start(4))
        assert "bids_conversion" in ward.poll()
        ward.services.release("bids_conversion", reason="mended")
        ward.now += timedelta(hours=1)
        ward.end(ward.start(2))
        assert ward.poll() == {}
        ward.now += timedelta(hours=1)
        ward.end(ward.start(1))
        assert "3 of the last 3 runs" in ward.poll()["bids_conversion"]
        assert ward.held_events() == 2

    def test_two_polls_at_once_write_one_hold(self, ward: Ward) -> None:
        ward.end(ward.start(4))
        ward.now += timedelta(minutes=1)

        def other_poll(_: object) -> None:
            Poller(ward.services).poll()

        Poller(ward.services, other_poll).poll()
        assert ward.held_events() == 1
