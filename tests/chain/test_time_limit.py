"""A task that is too slow: what its soft time limit ends, and what it must leave alone."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from neuroflow.domain import AttemptStatus, FailureClass, RunRecord, RunStatus
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.steps import discover
from tests.chain.site import Site, celery

pytestmark = pytest.mark.slow

SOFT_LIMIT_SECONDS = 6
WAIT_SECONDS = 300.0  # for all of it, on a busy machine
TOO_SLOW = "Task exceeded time limit"


def site_with(root: Path, redis_url: str, **changes: Any) -> Site:
    """Return a site whose tasks may take a few seconds, with one session to convert, which was scanned already."""
    limits = {"task_soft_time_limit": SOFT_LIMIT_SECONDS, "task_time_limit": 60, "worker_concurrency": 2}
    changes["cluster"] = {"poll_seconds": 1, **changes.get("cluster", {})}
    site = Site(root, {"redis": {"url": redis_url}, "celery": limits, **changes})
    site.add_session("01", "01", seed=9)
    services = site.services()
    discover(services)  # or the pass that starts the conversion might be the task that is too slow
    services.database.close()
    return site


def wait_for(services: Services, condition: Any, log: Path) -> list[RunRecord]:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        runs = services.state.list_runs()
        if condition(runs):
            return runs
        assert time.monotonic() < deadline, f"{runs}\n{log.read_text(encoding='utf-8', errors='replace')[-3000:]}"
        time.sleep(0.5)


def ask_for_a_pass(site: Site) -> None:
    from celery import Celery

    with Celery(broker=site.config().redis_url()) as client:
        client.conf.broker_transport_options = {"priority_steps": list(range(10))}
        client.send_task("neuroflow.workers.workflow_tasks.run_master_workflow", queue="workflow", ignore_result=True)


def is_alive(pid_file: Path) -> bool:
    try:
        os.kill(int(pid_file.read_text()), 0)
    except ProcessLookupError:
        return False
    return True


def test_a_conversion_that_is_too_slow_fails_and_is_tried_again_as_often_as_allowed(
    tmp_path: Path, redis_server: str
) -> None:
    tool = tmp_path / "slow-tool"
    tool.write_text(f'#!/bin/sh\necho $$ >>"{tmp_path}/pids"\nexec sleep 300\n', encoding="utf-8")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    site = site_with(
        tmp_path / "site",
        redis_server,
        workflow={"retry": {"max_attempts": 2}},
        pipelines={"bids_conversion": {"program": [str(tool)]}},
    )
    services = site.services()

    with celery(site, "worker", "-c", "2"), celery(site, "beat"):
        ask_for_a_pass(site)
        first, second = reversed(
            wait_for(
                services,
                lambda runs: [run.status for run in runs] == [RunStatus.FAILED, RunStatus.FAILED],
                site.root / "celery-worker.log",
            )
        )

    assert (first.superseded, second.superseded) == (True, False)
    for run in (first, second):
        assert run.error_message == TOO_SLOW
        (attempt,) = services.state.attempts_of(run.id)
        assert (attempt.status, attempt.failure) == (AttemptStatus.FAILED, FailureClass.TIMEOUT)
    reasons = [row.reason for row in services.state.list_audit(entity="session")]
    assert "Timeout during pipeline execution" in reasons
    pids = (tmp_path / "pids").read_text(encoding="utf-8").split()
    assert len(pids) == 2
    for number, pid in enumerate(pids):
        (tmp_path / f"pid-{number}").write_text(pid)
        assert not is_alive(tmp_path / f"pid-{number}"), "the tool goes on without anyone who looks after it"


def test_a_submission_that_is_too_slow_stays_open_for_the_poll(
    tmp_path: Path, redis_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "sbatch").write_text("#!/bin/sh\nexec sleep 300\n", encoding="utf-8")
    for name in ("squeue", "sacct", "scancel"):
        (programs / name).write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")  # SLURM does not answer
    for program in programs.iterdir():
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    site = site_with(
        tmp_path / "site",
        redis_server,
        cluster={"kind": "slurm", "name": "test"},
        pipelines={"bids_conversion": {"where": "cluster"}},
    )
    services = site.services()
    log = site.root / "celery-worker.log"

    with celery(site, "worker", "-c", "2"):
        ask_for_a_pass(site)
        (run,) = wait_for(services, lambda _: log.exists() and TOO_SLOW in log.read_text(errors="replace"), log)

    assert run.status is RunStatus.SUBMITTING, "a job may exist: only squeue and sacct can tell"
    (attempt,) = services.state.attempts_of(run.id)
    assert attempt.status is AttemptStatus.SUBMITTING
