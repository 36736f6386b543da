"""kill -9 at every line of a submission: each run is executed once, whatever line was the last one.

A child process submits a run under a tracer that kills it before one line of the code is executed: another line for
each run. Then the parent polls as any worker would, and everything has to come out right.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from neuroflow.cluster import folders, submit, transport
from neuroflow.cluster import slurm as slurm_module
from neuroflow.core import attempts, claims
from neuroflow.domain import OPEN_RUN_STATUSES, AttemptStatus, RunStatus
from neuroflow.orchestrator import attempt_job, launch, launch_array
from neuroflow.orchestrator.rounds import poll_round
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.steps import InlineDispatcher, launch_all
from tests.chain.fast_pipeline import PIPELINE, FastSite
from tests.support.slurm import Slurm

pytestmark = [pytest.mark.slow, pytest.mark.slurm]

TRACED = frozenset(
    str(module.__file__)
    for module in (attempts, claims, attempt_job, launch, launch_array, slurm_module, folders, submit, transport)
)
SETTLE_SECONDS = 300.0


class Killer:
    """A tracer that counts the lines of the submission, and kills this process before one of them."""

    def __init__(self, at: int | None) -> None:
        self.at = at
        self.lines: dict[tuple[str, int], None] = {}

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename not in TRACED:
            return None
        if event == "line":
            self.lines.setdefault((frame.f_code.co_filename, frame.f_lineno))
            if len(self.lines) - 1 == self.at:
                os.kill(os.getpid(), signal.SIGKILL)
        return self


def lines_of(work: Callable[[], object]) -> int:
    """Return how many different lines a submission passes; in a child, because coverage traces this process."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        killer = Killer(None)
        sys.settrace(killer)
        try:
            work()
            os.write(writer, str(len(killer.lines)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, encoding="ascii") as answer:
        counted = answer.read()
    os.waitpid(child, 0)
    return int(counted)


def kill_at(line: int, work: Callable[[], object]) -> bool:
    """Do the work in a child that is killed before a line; tell whether it was."""
    child = os.fork()
    if child == 0:
        sys.settrace(Killer(line))
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def settle(services: Services) -> None:
    """Poll and start what is due, as the services would, until no run is open."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while services.state.list_runs(open_only=True):
        assert time.monotonic() < deadline, [
            (run.id, run.status, run.reason) for run in services.state.list_runs(open_only=True)
        ]
        poll_round(services, at_once=True)
        due = [
            run
            for run in services.state.list_runs(open_only=True)
            if run.status in (RunStatus.PENDING, RunStatus.QUEUED, RunStatus.RETRY_WAIT)
        ]
        for run in due:
            InlineDispatcher(services).send([run], services.registry.get(PIPELINE))
        time.sleep(1.0)


def check(site: FastSite, services: Services, *, runs: int) -> None:
    """Check that each run completed, was executed once, and that no token has two jobs."""
    all_runs = services.state.list_runs()
    assert [run.reason for run in all_runs if run.status is not RunStatus.COMPLETED] == []
    assert not OPEN_RUN_STATUSES & {run.status for run in all_runs}
    assert len(all_runs) == runs
    executions = site.executions()
    assert {f"{run.pipeline}/{run.scope}" for run in all_runs} == set(executions)
    assert {scope: count for scope, count in executions.items() if count != 1} == {}
    every = [attempt for run in all_runs for attempt in services.state.attempts_of(run.id)]
    assert {attempt.status for attempt in every} <= {AttemptStatus.SUCCEEDED, AttemptStatus.FAILED}
    assert Counter(item.run_id for item in every if item.status is AttemptStatus.SUCCEEDED).most_common(1)[0][1] == 1
    jobs = jobs_by_name(sorted({attempt.job_name for attempt in every}))
    assert {name: ids for name, ids in jobs.items() if len(ids) > 1} == {}


def jobs_by_name(names: Sequence[str]) -> dict[str, set[str]]:
    """Ask SLURM's accounting which jobs carry which names; an array counts as one job."""
    found: dict[str, set[str]] = {}
    command = ["sacct", "-nXP", "-S", "now-1hour", "-o", "JobName%80,JobID", "--name", ",".join(names)]
    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        name, job_id = line.rsplit("|", 1)
        found.setdefault(name, set()).add(job_id.split("_")[0])
    return found


@pytest.mark.parametrize("size", [1, 2], ids=["single", "array"])
def test_a_submission_killed_at_any_line_runs_once(tmp_path: Path, slurm: Slurm, size: int) -> None:
    site = FastSite(tmp_path / "site", slurm)
    services = site.services()
    warm_up = site.open_runs(services, size, subject="warm")
    lines = lines_of(lambda: launch_all(services, [run.id for run in warm_up]))
    runs = site.open_runs(services, lines * size)
    groups = [[run.id for run in runs[start : start + size]] for start in range(0, len(runs), size)]

    killed = sum(kill_at(line, lambda ids=ids: launch_all(services, ids)) for line, ids in enumerate(groups))

    assert killed >= lines - 2, "the last lines may not be passed by all"
    settle(services)
    check(site, services, runs=lines * size + size)
    services.database.close()
