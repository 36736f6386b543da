"""A conversion that works inside the worker when `neuroflow up` ends, in whatever way: it is done exactly once."""

from __future__ import annotations

import os
import random
import shutil
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from neuroflow.cluster.process_table import pid_of, session_members
from neuroflow.domain import RunRecord, RunStatus
from neuroflow.orchestrator.steps import discover
from tests.chain.site import Site
from tests.chain.up_killer import UpKiller
from tests.support.require import require

pytestmark = [pytest.mark.slow, pytest.mark.redis]

# The real HeudiConv, once it may go on.
PROGRAM = """#!/bin/sh
echo $$ >>"{started}"
while [ ! -e "{go}" ]; do sleep 0.1; done
PATH="{bin}:$PATH" exec heudiconv "$@"
"""


@pytest.fixture
def killer(tmp_path: Path) -> Iterator[UpKiller]:
    """`neuroflow up`, with a conversion that has begun and waits."""
    require("redis", shutil.which("redis-server") is not None, "install redis-server")
    program = tmp_path / "heudiconv"
    program.write_text(
        PROGRAM.format(started=tmp_path / "started", go=tmp_path / "go", bin=Path(sys.executable).parent)
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    pipelines = {name: {"enabled": False} for name in ("qsiprep", "qsirecon", "qsiparc")}
    changes = {
        "redis": {"url": "embedded"},
        "celery": {"worker_concurrency": 2, "hung_seconds": 12},
        "cluster": {"poll_seconds": 1},
        "pipelines": {**pipelines, "bids_conversion": {"program": [str(program)]}},
    }
    site = Site(tmp_path / "site", changes)
    site.add_session("01", "01", seed=9)
    services = site.services()
    discover(services)
    made = UpKiller(site, services, random.Random(1))  # noqa: S311
    try:
        made.start("--stop-seconds", "1")
        wait_for(made, (tmp_path / "started").exists)
        wait_for(made, lambda: services.state.open_attempts()[0].job_id is not None)
        yield made
    finally:
        (tmp_path / "go").touch()
        made.end()
        services.database.close()


def wait_for(killer: UpKiller, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline, killer.tail()
        time.sleep(0.1)


def conversion(killer: UpKiller) -> int:
    """Return the process id of the conversion's job."""
    (attempt,) = killer.services.state.open_attempts()
    pid = pid_of(attempt.job_id or "")
    assert pid is not None
    return pid


def finish(killer: UpKiller, *arguments: str) -> tuple[RunRecord, int]:
    """Start `neuroflow up` again and let the conversion go on; return its run, and how often the tool was started."""
    (killer.site.root.parent / "go").touch()
    killer.start(*arguments)
    wait_for(killer, lambda: killer.services.state.list_runs()[0].status is RunStatus.COMPLETED)
    (run,) = killer.services.state.list_runs()
    return run, len((killer.site.root.parent / "started").read_text().split())


def test_its_busy_worker_is_left_alone_and_one_that_goes_on_while_nothing_runs_is_taken_up_again(
    killer: UpKiller,
) -> None:
    job = conversion(killer)
    busy_since = time.time()
    wait_for(killer, lambda: signs_since(killer, busy_since + 13.0))  # longer than celery.hung_seconds
    (worker,) = [one for one in killer.report()["services"] if one["name"] == "worker"]
    assert (worker["starts"], worker["hung"], worker["health"]) == (1, 0, "ok")

    assert killer.stop() == 1  # the worker's task had to be cut off; its process was not
    assert session_members(job)
    run, started = finish(killer)
    assert started == 1
    assert len(killer.services.state.attempts_of(run.id)) == 1


def test_one_that_is_killed_while_nothing_runs_is_done_again_once(killer: UpKiller) -> None:
    job = conversion(killer)
    killer.stop()
    for pid in session_members(job):
        with suppress(ProcessLookupError):  # one of the program's short sleeps, over since it was listed
            os.kill(pid, signal.SIGKILL)
    run, started = finish(killer)
    assert started == 2
    assert len(killer.services.state.attempts_of(run.id)) == 2


def test_one_outlives_a_killed_supervisor_whose_rest_is_taken_over(killer: UpKiller) -> None:
    job = conversion(killer)
    killer.up.kill()
    killer.up.wait(10)
    assert session_members(job)
    run, started = finish(killer, "--take-over")
    assert started == 1
    assert len(killer.services.state.attempts_of(run.id)) == 1


def signs_since(killer: UpKiller, moment: float) -> bool:
    (worker,) = [one for one in killer.report()["services"] if one["name"] == "worker"]
    return bool(worker["last_sign"] and worker["last_sign"] > moment)
