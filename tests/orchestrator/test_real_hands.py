"""What people change by hand, on the real SLURM: many jobs ended in one call, and jobs that others go before."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from neuroflow.domain import RunFilter, RunStatus
from neuroflow.orchestrator.acts import Hand, perform
from neuroflow.orchestrator.picking import cancelling, retrying
from neuroflow.orchestrator.rounds import poll_round
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.steps import InlineDispatcher, advance
from tests.chain.fast_pipeline import PIPELINE, FastSite
from tests.support.commands import run
from tests.support.slurm import Slurm

pytestmark = [pytest.mark.slow, pytest.mark.slurm]

RUNS, LOW = 20, 3
FEW = 3  # calls: one for all jobs, and what a controller that is busy makes be said again
SECONDS = 60.0


@pytest.fixture
def services(tmp_path: Path, slurm: Slurm) -> Iterator[Services]:
    """A site with 23 runs that wait in SLURM's queue as elements of arrays; three of them are the low ones."""
    site = FastSite(tmp_path / "site", slurm, {"cluster": {"sbatch_lines": ["--begin=now+1hour"], "array_size": 50}})
    services = site.services()
    site.open_runs(services, RUNS)
    late = site.open_runs(services, LOW, subject="02")
    services.state.set_subject_priorities([late[0].subject_id], -10, reason="later", actor="ada")
    advance(services, InlineDispatcher(services))
    yield services
    with suppress(OSError):
        services.cluster("slurm").cancel(services.state.open_attempts())
    services.database.close()


def queued(services: Services) -> dict[str, int]:
    """Return how nice each of the jobs in SLURM's queue is, by job id."""
    names = ",".join({attempt.job_name for attempt in services.state.open_attempts()} or {"none"})
    rows = run(["squeue", "--noheader", "--array", "--name", names, "--Format=ArrayJobID:20,ArrayTaskID:20,Nice:20"])
    return {f"{array}_{task}": int(nice) for array, task, nice in (row.split() for row in rows.splitlines())}


def scancels(services: Services) -> int:
    return sum(item.calls for item in services.state.call_statistics() if item.program == "scancel")


def test_many_elements_are_cancelled_in_a_few_calls_and_may_be_run_again(services: Services) -> None:
    runs = services.state.select_runs(RunFilter(pipeline=PIPELINE, statuses=frozenset({RunStatus.SUBMITTED})))
    assert [item.subject for item in runs] == ["01"] * RUNS + ["02"] * LOW
    jobs = {attempt.run_id: str(attempt.job_id) for attempt in services.state.open_attempts()}
    assert queued(services) == {job: (0 if run_id <= RUNS else 1000) for run_id, job in jobs.items()}

    ours = [item for item in runs if item.subject == "01"]
    outcome = perform(services, cancelling(ours), Hand("ada", "wrong image"))

    assert (len(outcome.done), outcome.left, outcome.errors) == (RUNS, [], [])
    assert scancels(services) <= FEW
    assert sorted(queued(services)) == sorted(jobs[item.id] for item in runs if item.subject == "02")
    deadline = time.monotonic() + SECONDS
    while len(services.state.open_attempts()) > LOW:  # until the witnesses have said that their jobs are no more
        assert time.monotonic() < deadline, services.state.open_attempts()
        poll_round(services, at_once=True)
    again = perform(services, retrying(services, services.state.list_runs(subject="01")), Hand("ada", "mended"))
    assert len(again.done) == RUNS
    advance(services, InlineDispatcher(services))
    assert len(queued(services)) == RUNS + LOW
    new = services.state.list_runs(subject="01", status=RunStatus.SUBMITTED)
    assert {item.reason.partition(" job")[0] for item in new} == {"submitted as"}
    opened = services.state.list_audit(entity="run", entity_id=new[0].id)[0]
    assert opened.reason == "asked for again by ada: mended"
