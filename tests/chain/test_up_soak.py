"""`neuroflow up` on the real SLURM while its children are killed and stopped at random, and sessions keep arriving.

NEUROFLOW_TEST_SOAK=SECONDS sets for how long; `make soak` takes an hour. In CI each event happens once.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from neuroflow.domain import AttemptStatus, RunStatus
from neuroflow.orchestrator.scheduler import plan_runs
from tests.chain.fast_pipeline import DOWNSTREAM, PIPELINE, FastSite
from tests.chain.site import merge
from tests.chain.test_chaos import no_token_has_two_jobs
from tests.chain.up_killer import UpKiller
from tests.support.require import require
from tests.support.slurm import Slurm

pytestmark = [pytest.mark.slow, pytest.mark.slurm, pytest.mark.redis]

LONG_SECONDS = float(os.environ.get("NEUROFLOW_TEST_SOAK") or 0)
SEED = int(os.environ.get("NEUROFLOW_TEST_SOAK_SEED") or 11)
PAUSES = (5.0, 40.0) if LONG_SECONDS else (1.0, 3.0)  # between two events (s)
SESSION_SECONDS = 20.0 if LONG_SECONDS else 4.0  # between two new sessions
SETTLE_SECONDS = 600.0
HUNG_SECONDS = 12.0
WARM_SECONDS = 300.0  # after which the supervisor's memory has its size
GROWTH_MB = 12.0


@pytest.fixture
def killer(tmp_path: Path, slurm: Slurm) -> Iterator[UpKiller]:
    """A site with `neuroflow up` running, and an embedded Redis."""
    require("redis", shutil.which("redis-server") is not None, "install redis-server")
    changes = {
        "redis": {"url": "embedded"},
        "celery": {"hint_lifetime": 20, "hung_seconds": HUNG_SECONDS, "worker_concurrency": 2},
        "cluster": {"array_size": 4, "poll_seconds": 2},
        "logging": {"max_mb": 1, "keep": 3},
    }
    merge(changes, {"logging": {"file": str(tmp_path / "site" / "neuroflow.jsonl")}})
    site = FastSite(tmp_path / "site", slurm, changes)
    made = UpKiller(site, site.services(), random.Random(SEED))  # noqa: S311
    try:
        made.start()
        yield made
    finally:
        made.end()
        made.services.database.close()


def test_up_survives_random_kills_of_its_children_while_the_queue_drains(killer: UpKiller) -> None:
    sessions = besiege(killer)
    if LONG_SECONDS:
        finished = sum(item.status is RunStatus.COMPLETED for item in killer.services.state.list_runs())
        assert finished >= len(sessions), (
            f"the queue did not drain meanwhile: {finished} runs of {len(sessions)} sessions"
        )
    settle(killer)
    say(killer, "settled")
    every_run_completed_once(killer, sessions)
    no_token_has_two_jobs(killer.services, killer.services.state.list_runs())
    the_same_supervisor_counted_its_restarts(killer)
    assert killer.stop() == 0, killer.tail()
    assert killer.left_over() == []


def besiege(killer: UpKiller) -> list[str]:
    """Let things happen, and sessions arrive; return the sessions' labels."""
    labels: list[str] = []
    begin = time.monotonic()
    next_session = 0.0
    warm: tuple[float, int] | None = None
    for event in killer.events(seconds=LONG_SECONDS):
        resume = time.monotonic() + killer.dice.uniform(*PAUSES)
        while time.monotonic() < resume:
            if time.monotonic() >= next_session:
                labels.append(f"{len(labels):05}")
                killer.site.add_labelled(killer.services, labels[-1:], subject="01")
                next_session = time.monotonic() + SESSION_SECONDS
            assert killer.up.poll() is None, killer.tail()
            time.sleep(0.2)
        if warm is None and time.monotonic() - begin >= WARM_SECONDS:
            warm = killer.size()
        say(killer, event())
    if warm is not None:
        now = killer.size()
        print(f"supervisor: {warm} -> {now} (RSS MB, open files)", flush=True)
        assert now[0] - warm[0] < GROWTH_MB, "the supervisor's memory grows"
        assert now[1] <= warm[1] + 12, "the supervisor leaves files open"  # a check that is under way has some
    return labels


def say(killer: UpKiller, event: str) -> None:
    runs = Counter(str(item.status) for item in killer.services.state.list_runs())
    starts = {one["name"]: one["starts"] for one in killer.report().get("services", [])}
    print(f"{time.strftime('%H:%M:%S')} {event:24} runs {dict(runs)} starts {starts} {killer.size()}", flush=True)


def settle(killer: UpKiller) -> None:
    """Wait until nothing is open, nothing is due, and every child is back."""
    killer.let_go()
    state = killer.services.state
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        opened = state.list_runs(open_only=True)
        idle = not opened and not state.open_attempts()
        # The last strike may have come a moment ago.
        well = all(one["state"] == "running" for one in killer.report().get("services", [{"state": ""}]))
        if idle and well and not plan_runs(state.snapshot(), killer.services.registry).proposals:
            return
        assert killer.up.poll() is None, killer.tail()
        assert time.monotonic() < deadline, [(item.id, item.scope, item.status, item.reason) for item in opened]
        time.sleep(1.0)


def every_run_completed_once(killer: UpKiller, sessions: list[str]) -> None:
    runs = killer.services.state.list_runs()
    assert {(item.pipeline, item.session, str(item.status)) for item in runs} == {
        (pipeline, label, "completed") for pipeline in (PIPELINE, DOWNSTREAM) for label in sessions
    }
    assert len(runs) == 2 * len(sessions)
    executions = killer.site.executions()
    assert executions == Counter({f"{item.pipeline}/{item.scope}": 1 for item in runs})
    for item in runs:
        ends = [attempt.status for attempt in killer.services.state.attempts_of(item.id)]
        assert ends.count(AttemptStatus.SUCCEEDED) == 1
        assert ends[-1] is AttemptStatus.SUCCEEDED


def the_same_supervisor_counted_its_restarts(killer: UpKiller) -> None:
    report = json.loads(killer.status("--json"))
    assert report["pid"] == killer.pid
    services = {one["name"]: one for one in report["services"]}
    for name, count in killer.struck.items():
        assert services[name]["starts"] > 1, f"{name} was struck {count} times"
    assert sum(one["hung"] for one in services.values()) >= 1, "nobody noticed a hanging child"
    assert psutil.pid_exists(killer.pid)
    assert all(one["state"] == "running" for one in services.values())
