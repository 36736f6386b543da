"""An old backup is restored over a site whose jobs have gone on on a real SLURM: nothing is executed twice."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from neuroflow.core.backups import take_backup
from neuroflow.domain import AttemptStatus, RunStatus
from neuroflow.orchestrator.restore import hold_strangers, restore
from neuroflow.orchestrator.rounds import poll_round
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.steps import InlineDispatcher, advance
from tests.chain.fast_pipeline import DOWNSTREAM, PIPELINE, FastSite
from tests.support.slurm import Slurm

pytestmark = pytest.mark.slow

SECONDS = 120.0
# Runs of session 0003 wait for this file, so that they are in the middle of their work when the backup comes back.
WAITING = 'while [ "$session" = 0003 ] && [ ! -e "{gate}" ]; do sleep 0.2; done'


def step(services: Services) -> None:
    poll_round(services, at_once=True)
    advance(services, InlineDispatcher(services))


def completed(services: Services, pipeline: str) -> set[str]:
    return {
        str(run.session) for run in services.state.list_runs(pipeline=pipeline) if run.status is RunStatus.COMPLETED
    }


def go_on_until(services: Services, site: FastSite, *, downstream: set[str]) -> None:
    deadline = time.monotonic() + SECONDS
    while completed(services, DOWNSTREAM) != downstream:
        assert time.monotonic() < deadline, [
            (run.id, run.pipeline, run.scope, run.status, run.reason) for run in services.state.list_runs()
        ]
        step(services)
        time.sleep(0.5)


def test_jobs_that_went_on_after_the_backup_are_taken_in_and_none_runs_twice(tmp_path: Path, slurm: Slurm) -> None:
    gate = tmp_path / "gate"
    site = FastSite(tmp_path / "site", slurm, extra=WAITING.format(gate=gate))
    services = site.services()
    site.add_sessions(services, 3)  # 0000 to 0002; the array of their runs is submitted after the backup
    empty = take_backup(services.database, tmp_path / "then.nfbackup").path
    site.add_sessions(services, 4)
    go_on_until(services, site, downstream={"0000", "0001", "0002"})
    before = {run.id: (run.pipeline, run.scope, run.inputs_key) for run in services.state.list_runs()}
    assert before

    restored = restore(services.config, services.database, empty, now=services.clock(), actor="test")
    strangers, unanswered = hold_strangers(services.state, services.cluster("slurm"), services.registry.names())

    assert restored.adoption.refused == []
    assert set(restored.held) == {PIPELINE, DOWNSTREAM}
    ours = {attempt.job_name for run in before for attempt in services.state.attempts_of(run)}
    assert ours.isdisjoint(strangers)
    assert unanswered == ""
    assert {run.id: (run.pipeline, run.scope, run.inputs_key) for run in services.state.list_runs()} == before
    step(services)  # held: it only looks at what there is
    assert {
        run.session for run in services.state.list_runs() if run.status in (RunStatus.SUBMITTED, RunStatus.RUNNING)
    } == {"0003"}
    for name in services.holds():
        services.release(name, reason="looked at")
    site.add_sessions(services, 4)
    step(services)
    gate.touch()
    go_on_until(services, site, downstream={"0000", "0001", "0002", "0003"})

    executions = site.executions()
    assert set(executions.values()) == {1}, executions
    assert len(executions) == 8
    assert {attempt.status for run in before for attempt in services.state.attempts_of(run)} == {
        AttemptStatus.SUCCEEDED
    }
    services.database.close()
