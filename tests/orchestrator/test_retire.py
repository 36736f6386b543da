"""A failed attempt is given up once it is dead for sure, and never in the middle of its publication."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from neuroflow.cluster import claim
from neuroflow.cluster.publish import PLAN_NAME
from neuroflow.domain import (
    AttemptRecord,
    ExitRecord,
    FailureClass,
    JobState,
    QueueRow,
    RunStatus,
    Sighting,
    Verdict,
    VerdictKind,
)
from neuroflow.errors import ClusterError
from neuroflow.orchestrator.record import Recorder
from neuroflow.orchestrator.retire import Retired, retire_failed
from neuroflow.orchestrator.stale import clean_up_stale
from tests.chain.site import Site
from tests.cluster_layer.builders import NOW, attempt, exit_record
from tests.orchestrator.test_breaker import FakeCluster, Ward


@dataclass
class Retiring(FakeCluster):
    """A cluster that remembers whom it retired, and may refuse to."""

    retired: list[str] = field(default_factory=list)
    refuses: bool = False
    meanwhile: Callable[[], object] = lambda: None

    def retire(self, attempts: Sequence[AttemptRecord]) -> None:
        self.meanwhile()
        if self.refuses:
            raise ClusterError("SLURM is down", hint="")
        self.retired += [one.token for one in attempts]


class Bench:
    """Attempts that have failed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ward = Ward(Site(root / "site").services())
        self.cluster = Retiring()
        self.ward.services = replace(self.ward.services, clusters={"slurm": self.cluster})
        self.judged: list[tuple[AttemptRecord, Verdict]] = []
        self.sightings: dict[str, Sighting] = {}

    def fail(self, token: str, failure: FailureClass, *, record: bool, seen_ago: timedelta = timedelta(0)) -> Path:
        folder = self.root / token
        folder.mkdir()
        one = attempt(token=token, folder=str(folder), last_seen_at=NOW - seen_ago)
        self.judged.append((one, Verdict(VerdictKind.FAILED, "as the test wants it", failure=failure)))
        left: ExitRecord | None = exit_record(token=token, exit_code=1, published=False) if record else None
        self.sightings[token] = Sighting(True, True, exit_record=left)
        return folder

    def retire(self) -> Retired:
        self.ward.now = NOW
        return retire_failed(self.ward.services, self.cluster, self.judged, self.sightings)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.ward.services.database.close()


def test_whose_job_may_come_back_is_retired_and_whatever_failed_is_fenced(bench: Bench) -> None:
    own_fault = bench.fail("application", FailureClass.APPLICATION, record=True)
    for failure in (FailureClass.NODE, FailureClass.PREEMPTED, FailureClass.TIMEOUT, FailureClass.CANCELLED):
        bench.fail(failure.value, failure, record=True)
    bench.fail("no-record", FailureClass.OUT_OF_MEMORY, record=False)
    assert len(bench.retire().verdicts) == 6
    assert bench.cluster.retired == ["node", "preempted", "timeout", "cancelled", "no-record"]
    assert claim.is_fenced(own_fault)


def test_what_has_not_failed_is_left_alone(bench: Bench) -> None:
    folder = bench.fail("t", FailureClass.NODE, record=False)
    for kind in (VerdictKind.PENDING, VerdictKind.RUNNING, VerdictKind.UNKNOWN, VerdictKind.SUCCEEDED):
        bench.judged[0] = (bench.judged[0][0], Verdict(kind, ""))
        assert bench.retire().verdicts == bench.judged
    assert (bench.cluster.retired, claim.is_fenced(folder)) == ([], False)


def test_while_the_cluster_is_silent_only_what_is_sure_is_judged(bench: Bench) -> None:
    bench.fail("sure", FailureClass.APPLICATION, record=True)
    bench.fail("unsure", FailureClass.PREEMPTED, record=True)
    bench.cluster.refuses = True
    retired = bench.retire()
    assert [one.token for one, _ in retired.verdicts] == ["sure"]
    assert retired.errors == ("verdicts put off until the jobs are surely dead: 1; SLURM is down",)


def test_a_job_that_slurm_lost_while_it_published_may_finish(bench: Bench) -> None:
    folder = bench.fail("t", FailureClass.NODE, record=False, seen_ago=timedelta(minutes=59))
    (folder / PLAN_NAME).touch()
    ((_, verdict),) = bench.retire().verdicts
    assert (verdict.kind, verdict.failure) == (VerdictKind.RUNNING, None)
    assert "publishing" in verdict.reason
    assert (bench.cluster.retired, claim.is_fenced(folder)) == ([], False)


@pytest.mark.parametrize(
    ("failure", "seen_ago"),
    [(FailureClass.NODE, timedelta(hours=1)), (FailureClass.TIMEOUT, timedelta(0))],
    ids=["the hour is over", "SLURM killed it"],
)
def test_a_publication_that_can_not_go_on_is_left_to_the_next_attempt(
    bench: Bench, failure: FailureClass, seen_ago: timedelta
) -> None:
    (bench.fail("t", failure, record=False, seen_ago=seen_ago) / PLAN_NAME).touch()
    ((_, verdict),) = bench.retire().verdicts
    assert (verdict.kind, bench.cluster.retired) == (VerdictKind.FAILED, ["t"])


@pytest.mark.parametrize("failure", [FailureClass.TIMEOUT, FailureClass.CANCELLED])
def test_a_run_whose_last_attempt_was_killed_while_it_published_gets_another(
    bench: Bench, failure: FailureClass
) -> None:
    (one,) = bench.ward.start(1)
    run = replace(bench.ward.services.state.get_run(one.run_id), attempts=99)
    verdict = Verdict(VerdictKind.FAILED, "as the test wants it", failure=failure)
    recorder = Recorder(bench.ward.services)
    given_up = recorder.decision(one, verdict, run).status
    Path(one.folder).mkdir(parents=True)
    (Path(one.folder) / PLAN_NAME).touch()
    found = recorder.decision(one, verdict, run)
    assert (found.status, found.counted) == (RunStatus.RETRY_WAIT, False)
    assert "published in part" in found.reason
    assert given_up in (RunStatus.FAILED, RunStatus.CANCELLED)


def test_a_publication_that_begins_while_its_attempt_is_fenced_is_seen(bench: Bench) -> None:
    folder = bench.fail("t", FailureClass.NODE, record=False)
    bench.cluster.meanwhile = (folder / PLAN_NAME).touch
    ((_, verdict),) = bench.retire().verdicts
    assert verdict.kind is VerdictKind.RUNNING


@pytest.mark.parametrize("refuses", [True, False])
def test_a_stale_attempt_is_ended_only_once_it_is_retired(bench: Bench, refuses: bool) -> None:
    bench.cluster.refuses = refuses
    (one,) = bench.ward.start(1)
    bench.ward.now = NOW + timedelta(days=3)
    found = clean_up_stale(bench.ward.services, hours=48)
    assert found == {"stale_found": 1, "cancelled": 0 if refuses else 1}
    assert bench.cluster.retired == ([] if refuses else [one.token])


@pytest.mark.parametrize(
    ("state", "retired"),
    [(JobState.PENDING, ["done"]), (JobState.REQUEUED, ["done"]), (JobState.ENDING, []), (None, [])],
)
def test_a_job_that_slurm_queued_again_after_it_had_published_leaves_the_queue(
    bench: Bench, state: JobState | None, retired: list[str]
) -> None:
    folder = bench.root / "done"
    folder.mkdir()
    one = attempt(token="done", folder=str(folder))
    bench.judged.append((one, Verdict(VerdictKind.SUCCEEDED, "exit code 0")))
    row = None if state is None else QueueRow("17", "done", state, state.value.upper())
    bench.sightings["done"] = Sighting(True, True, queue=row, exit_record=exit_record(token="done"))

    assert [item[0].token for item in bench.retire().verdicts] == ["done"]
    assert bench.cluster.retired == retired

    bench.cluster.refuses = True
    assert len(bench.retire().verdicts) == 1, "a success waits for no scancel"
