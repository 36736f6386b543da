"""One round of polling asks squeue and sacct at most once each, however many attempts are open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from neuroflow.cluster import claim
from neuroflow.cluster.slurm import SlurmCluster
from neuroflow.core.database import Database
from neuroflow.core.state import SeenAttempt, StateManager
from neuroflow.domain import (
    AttemptStatus,
    Level,
    Resources,
    RunProposal,
    RunStatus,
    Sighting,
    Verdict,
    VerdictKind,
)
from neuroflow.orchestrator.lost import lost_before_it_started
from neuroflow.orchestrator.reconcile import Poller
from neuroflow.orchestrator.registry import get_registry
from neuroflow.orchestrator.services import Services
from tests.cluster_layer.builders import NOW, config_in
from tests.cluster_layer.fakes import FakeTransport, hung
from tests.support.databases import make_schema
from tests.support.states import add_session

ATTEMPTS = 40
LOST = range(0, ATTEMPTS, 10)  # their submission was never answered
IN_SACCT = range(0, ATTEMPTS, 3)  # squeue knows the others


class Clock:
    """A clock that tests move."""

    now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def services(tmp_path: Path, clock: Clock) -> Iterator[Services]:
    """A database with open attempts of jobs 1000, 1001, …, and no cluster yet."""
    config = config_in(tmp_path, kind="slurm")
    config.attempts_dir.mkdir(parents=True)
    database = Database.from_config(config)
    make_schema(database)
    state = StateManager(database, clock=clock)
    subject_id = add_session(state).subject_id
    for number in range(ATTEMPTS):
        proposal = RunProposal("qsiprep", Level.SUBJECT, f"sub-{number}", subject_id, None, "k", "new")
        run = state.open_run(proposal)
        assert run is not None
        attempt = state.claim_run(
            run.id,
            token=f"nf-{number}",
            where="slurm",
            folder=str(config.attempts_dir / f"nf-{number}"),
            resources=Resources(1, 1000, 60),
            image=None,
            limit=ATTEMPTS,
        )
        assert attempt is not None
        if number not in LOST:
            state.record_submitted(attempt.id, str(1000 + number))
    yield Services(config, database, state, get_registry(config), {}, clock)
    database.close()


def polled(services: Services, transport: FakeTransport, clock: Clock) -> Poller:
    cluster = SlurmCluster(services.config, transport=transport, clock=clock)
    return Poller(
        Services(services.config, services.database, services.state, services.registry, {"slurm": cluster}, clock)
    )


def squeue_text() -> str:
    numbers = (number for number in range(ATTEMPTS) if number not in IN_SACCT)
    rest = ("PENDING", "Priority", "N/A", "N/A", "lab", "normal")
    rows = [(str(1000 + number), *rest, f"nf-{number}") for number in numbers]
    return "".join("\x1f".join(row) + "\n" for row in rows)


def sacct_text() -> str:
    start, end = str(int(NOW.timestamp())), str(int(NOW.timestamp()) + 1)
    rows = [
        (str(1000 + number), "TIMEOUT", "0:0", "", "1", start, start, end, "n1", "", f"nf-{number}")
        for number in IN_SACCT
    ]
    return "".join("\x1f".join(row) + "\n" for row in rows)


def test_a_round_makes_one_call_of_each_and_judges_everything(services: Services, clock: Clock) -> None:
    clock.now = NOW + timedelta(seconds=200)  # later than any sbatch would still be at it
    transport = FakeTransport(squeue=squeue_text(), sacct=sacct_text(), scancel="")
    report = polled(services, transport, clock).poll()
    assert transport.programs() == ["squeue", "sacct", "scancel"]
    assert transport.calls[-1][1:] == tuple(sorted(str(1000 + number) for number in IN_SACCT))
    assert (report.looked_at, len(report.ended), report.errors) == (ATTEMPTS, len(IN_SACCT), ())
    assert {ended.verdict.failure and ended.verdict.failure.value for ended in report.ended} == {"timeout"}
    left = services.state.open_attempts()
    assert {attempt.status for attempt in left} == {AttemptStatus.SUBMITTED}
    assert {attempt.job_id for attempt in left} == {
        str(1000 + number) for number in range(ATTEMPTS) if number not in IN_SACCT
    }


def test_lost_submissions_are_made_anew_only_if_both_answered_and_neither_knows_them(
    services: Services, clock: Clock
) -> None:
    clock.now = NOW + timedelta(minutes=6)
    silent = FakeTransport(squeue="", sacct=hung())
    polled(services, silent, clock).poll()
    assert len(services.state.open_attempts()) == ATTEMPTS
    transport = FakeTransport(squeue="", sacct="")
    polled(services, transport, clock).poll()
    assert transport.programs() == silent.programs() == ["squeue", "sacct"]
    left = services.state.open_attempts()
    assert {attempt.status for attempt in left} == {AttemptStatus.SUBMITTED}
    assert len(left) == ATTEMPTS - len(LOST)


def test_a_job_that_is_lost_before_it_started_is_made_anew_after_some_patience(
    services: Services, clock: Clock
) -> None:
    transport = FakeTransport(squeue="", sacct="", scancel="")
    started = services.state.open_attempts()[1]
    Path(started.folder).mkdir()
    claim.take(Path(started.folder), started.job_id or "")

    clock.now = NOW + timedelta(minutes=9)
    assert polled(services, transport, clock).poll().unknown == ATTEMPTS - len(LOST)
    clock.now = NOW + timedelta(minutes=10)
    polled(services, transport, clock).poll()

    assert [attempt.id for attempt in services.state.open_attempts()] == [started.id], "it may be running somewhere"
    waiting = services.state.list_runs(status=RunStatus.RETRY_WAIT)
    assert len(waiting) == ATTEMPTS - 1
    assert {run.attempts for run in waiting} == {0}, "that was not the runs' fault"
    assert services.holds() == {}, "nor the pipeline's"
    folder = services.config.attempts_dir / "nf-11"
    assert claim.take(folder, "1011") is claim.Hold.DENIED, "a job that turns up all the same must stop"


def test_of_a_lost_element_of_an_array_it_is_said_that_somebody_may_have_cancelled_it(
    services: Services, clock: Clock
) -> None:
    clock.now = NOW + timedelta(minutes=10)
    single = services.state.open_attempts()[1]
    element = replace(single, array_token="nf-array", array_index=3)
    unknown, nobody = Verdict(VerdictKind.UNKNOWN, "no trace"), Sighting(True, True, all_answered=True)
    cluster = SlurmCluster(services.config, transport=FakeTransport(), clock=clock)
    reasons = [
        lost_before_it_started(services, cluster, attempt, unknown, nobody).reason for attempt in (single, element)
    ]
    assert "no trace" in reasons[0]
    assert "scancel" not in reasons[0]
    assert "scancel of waiting element 3 of its array" in reasons[1]


def test_nothing_is_given_up_while_a_witness_is_silent(services: Services, clock: Clock) -> None:
    clock.now = NOW + timedelta(days=1)

    polled(services, FakeTransport(squeue="", sacct=hung()), clock).poll()

    assert len(services.state.open_attempts()) == ATTEMPTS


def test_what_failed_is_fenced_and_judged_only_once_its_job_is_cancelled(services: Services, clock: Clock) -> None:
    clock.now = NOW + timedelta(seconds=200)
    failed = {services.config.attempts_dir / f"nf-{number}" for number in IN_SACCT}
    silent = FakeTransport(squeue=squeue_text(), sacct=sacct_text(), scancel=hung())

    report = polled(services, silent, clock).poll()

    assert report.ended == ()
    assert len(services.state.open_attempts()) == ATTEMPTS
    (error,) = report.errors
    assert error.startswith(f"slurm: verdicts put off until the jobs are surely dead: {len(IN_SACCT)}; ")
    assert all(claim.is_fenced(folder) for folder in failed), "no job of them works from now on, SLURM or not"

    report = polled(services, FakeTransport(squeue=squeue_text(), sacct=sacct_text(), scancel=""), clock).poll()
    assert (len(report.ended), report.errors) == (len(IN_SACCT), ())


def test_nothing_is_judged_that_can_not_be_fenced(services: Services, clock: Clock) -> None:
    clock.now = NOW + timedelta(seconds=200)
    services.config.attempts_dir.rename(services.config.attempts_dir.with_name("away"))

    report = polled(services, FakeTransport(squeue=squeue_text(), sacct=sacct_text()), clock).poll()

    assert (report.ended, len(report.errors)) == ((), 1)
    assert "can't be fenced" in report.errors[0]
    assert not services.config.attempts_dir.exists()


def test_a_job_that_slurm_requeued_is_submitted_again_and_no_longer_running(services: Services, clock: Clock) -> None:
    one = next(attempt for attempt in services.state.open_attempts() if attempt.job_id == "1002")
    services.state.record_sightings([SeenAttempt(one.id, word="RUNNING", reason="", running=True, seen=True)])
    other = next(attempt for attempt in services.state.open_attempts() if attempt.job_id == "1003")
    services.state.record_sightings([SeenAttempt(other.id, word="RUNNING", reason="", running=True, seen=True)])

    polled(services, FakeTransport(squeue=squeue_text(), sacct=""), clock).poll()

    assert services.state.get_attempt(one.id).status is AttemptStatus.SUBMITTED
    assert services.state.get_run(one.run_id).status is RunStatus.SUBMITTED
    assert services.state.get_attempt(other.id).status is AttemptStatus.RUNNING, "squeue does not list it"


def test_a_second_round_writes_no_audit_row(services: Services, clock: Clock) -> None:
    transport = FakeTransport(squeue=squeue_text(), sacct="")
    poller = polled(services, transport, clock)
    poller.poll()
    before = services.state.list_audit(limit=10_000)
    poller.poll()
    assert services.state.list_audit(limit=10_000) == before
    assert transport.programs() == ["squeue", "sacct"] * 2
