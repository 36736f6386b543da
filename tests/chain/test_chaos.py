"""A chain of runs on the real SLURM and Redis while everything around it breaks: nothing is lost, nothing is run twice.

`make chaos` runs the long form (200 runs); in CI it is a short one.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from neuroflow.domain import AttemptStatus, FailureClass, RunRecord, RunStatus
from neuroflow.orchestrator.scheduler import plan_runs
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.stale import clean_up_stale
from tests.chain.chaos import CLUSTER, SBATCH, Chaos
from tests.chain.fast_pipeline import DOWNSTREAM, PIPELINE, FastSite
from tests.chain.test_killed_submission import jobs_by_name
from tests.support.commands import run
from tests.support.redis_server import RedisServer
from tests.support.require import require
from tests.support.slurm import Slurm

pytestmark = [pytest.mark.slow, pytest.mark.slurm, pytest.mark.redis]

LONG = os.environ.get("NEUROFLOW_TEST_CHAOS") == "long"
SEED = int(os.environ.get("NEUROFLOW_TEST_CHAOS_SEED") or 7)  # of the order of events
SESSIONS = 104 if LONG else 16
ROUNDS = 4 if LONG else 1  # times that each event happens
PAUSE_SECONDS = 4.0  # for the services to get on between two events
SETTLE_SECONDS = 1800.0 if LONG else 600.0
STALE_HOURS = 0.05
BROKEN = ("0003", "0007")  # sessions whose data the tool can't read
WORK = """
case $session in 0003 | 0007) echo "can't read this image" >&2; exit 1 ;; esac
sleep $(($(od -An -N1 -tu1 /dev/urandom) % 5))
"""


@pytest.fixture
def redis(slurm: Slurm) -> Iterator[RedisServer]:
    """A Redis server that can be crashed."""
    require("redis", shutil.which("redis-server") is not None, "install redis-server")
    folder = Path(tempfile.mkdtemp(prefix="nfchaos-"))
    server = RedisServer(folder / "redis.sock")
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def chaos(tmp_path: Path, slurm: Slurm, redis: RedisServer) -> Iterator[Chaos]:
    """A site with its services running."""
    retry = {"max_attempts": 2, "initial_delay_minutes": 0.05, "max_delay_minutes": 0.05}
    changes = {
        "redis": {"url": redis.url},
        "celery": {"hint_lifetime": 20},
        # So few at once that the chain lasts as long as the events do.
        "workflow": {"retry": retry, "max_concurrent": {PIPELINE: 6, DOWNSTREAM: 6}},
        "cluster": {"array_size": 4},
    }
    site = FastSite(tmp_path / "site", slurm, changes, extra=WORK)
    (site.root / "bin").mkdir()
    (site.root / "bin" / "sbatch").write_text(SBATCH.format(real=shutil.which("sbatch")), encoding="utf-8")
    (site.root / "bin" / "sbatch").chmod(0o755)
    services = site.services()
    made = Chaos(site, services, redis, random.Random(SEED))  # noqa: S311
    made.start("worker")
    made.start("beat")
    yield made
    made.stop()
    run([str(CLUSTER), "up"], seconds=200)  # whatever was broken last
    services.database.close()


def test_a_chain_survives_everything_at_once(chaos: Chaos) -> None:
    chaos.site.add_sessions(chaos.services, SESSIONS)
    events = chaos.events() * ROUNDS
    chaos.dice.shuffle(events)
    for event in events:
        time.sleep(PAUSE_SECONDS)
        print(f"{time.strftime('%H:%M:%S')} {event.__name__}", flush=True)
        event()
    settle(chaos.services)
    runs = chaos.services.state.list_runs()
    print(summary(chaos.services, runs), flush=True)
    every_run_has_its_true_end(chaos, runs)
    every_attempt_is_explained(chaos.services, runs)
    no_token_has_two_jobs(chaos.services, runs)
    executions_are_explained(chaos, runs)
    the_audit_log_replays(chaos.services, runs)


def summary(services: Services, runs: list[RunRecord]) -> str:
    """Say what became of the runs, and what their attempts met."""
    failures = Counter(
        str(attempt.failure or "succeeded") for item in runs for attempt in services.state.attempts_of(item.id)
    )
    return f"runs: {dict(Counter(str(item.status) for item in runs))}; attempts: {dict(failures)}"


def settle(services: Services) -> None:
    """Wait until nothing is open, and nothing is due."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        plan = plan_runs(services.state.snapshot(), services.registry)
        opened = services.state.list_runs(open_only=True)
        if not opened and not plan.proposals and not services.state.open_attempts():
            return
        assert time.monotonic() < deadline, [(item.id, item.scope, item.status, item.reason) for item in opened]
        clean_up_stale(services, hours=STALE_HOURS)  # beat does so once a day
        time.sleep(1.0)


def every_run_has_its_true_end(chaos: Chaos, runs: list[RunRecord]) -> None:
    """Completed, or failed because of its data, or cancelled because somebody did."""
    sessions = {session.label for session in chaos.services.state.list_sessions()}
    first = {item.session: item for item in runs if item.pipeline == PIPELINE}
    second = {item.session: item for item in runs if item.pipeline == DOWNSTREAM}
    assert set(first) == sessions, "a session was lost"
    cancelled = {item.scope for item in runs if item.status is RunStatus.CANCELLED}
    assert len(cancelled) <= len(chaos.cancelled_jobs)
    for label, item in first.items():
        if item.status is RunStatus.CANCELLED:
            assert label not in second
        elif label in BROKEN:
            assert (item.status, item.failure) == (RunStatus.FAILED, FailureClass.APPLICATION), item.reason
            assert "can't read this image" in item.error_message
            assert label not in second
        else:
            assert item.status is RunStatus.COMPLETED, (item.scope, item.status, item.reason)
            assert second[label].status in (RunStatus.COMPLETED, RunStatus.CANCELLED), second[label].reason
    for item in runs:
        if item.status is RunStatus.COMPLETED:
            result = chaos.site.root / "derivatives" / item.pipeline / item.scope / "result.txt"
            assert result.read_text() == "done\n"


def every_attempt_is_explained(services: Services, runs: list[RunRecord]) -> None:
    """Every attempt has a verdict; one of them succeeded where the run did, and none counted that was not its fault."""
    for item in runs:
        attempts = services.state.attempts_of(item.id)
        assert [attempt.number for attempt in attempts] == list(range(1, len(attempts) + 1))
        assert all(attempt.ended_at is not None for attempt in attempts)
        ends = Counter(attempt.status for attempt in attempts)
        assert ends[AttemptStatus.SUCCEEDED] == (1 if item.status is RunStatus.COMPLETED else 0)
        for attempt in attempts[:-1]:
            assert attempt.status is AttemptStatus.FAILED
            assert attempt.message
        counted = sum(attempt.counted for attempt in attempts)
        assert counted == item.attempts, (item.scope, [(a.status, a.counted, a.message) for a in attempts])


def no_token_has_two_jobs(services: Services, runs: list[RunRecord]) -> None:
    attempts = [attempt for item in runs for attempt in services.state.attempts_of(item.id)]
    tokens = [attempt.token for attempt in attempts]
    assert len(set(tokens)) == len(tokens)
    jobs = jobs_by_name(sorted({attempt.job_name for attempt in attempts}))
    assert {name: ids for name, ids in jobs.items() if len(ids) > 1} == {}


def executions_are_explained(chaos: Chaos, runs: list[RunRecord]) -> None:
    """The program started at most once for each attempt, and once more for each time that SLURM requeued its job."""
    lives: dict[str, int] = defaultdict(int)
    for item in runs:
        for attempt in chaos.services.state.attempts_of(item.id):
            lives[f"{item.pipeline}/{item.scope}"] += 1 + restarts(attempt.job_id)
    executions = chaos.site.executions()
    assert {name: count for name, count in executions.items() if count > lives[name]} == {}
    finished = {f"{item.pipeline}/{item.scope}" for item in runs if item.status is RunStatus.COMPLETED}
    assert finished <= set(executions)


def restarts(job_id: str | None) -> int:
    """Ask SLURM's accounting how many lives a job had before its last one."""
    if job_id is None:
        return 0
    rows = run(["sacct", "-nXPD", "-j", job_id, "-o", "JobID"], seconds=60).split()
    return max(rows.count(job_id) - 1, 0)


def the_audit_log_replays(services: Services, runs: list[RunRecord]) -> None:
    """Following each run's audit rows from the first to the last gives its present state."""
    for item in runs:
        state: str | None = None
        for row in services.state.list_audit(entity="run", entity_id=item.id):
            if row.after is None:
                continue
            assert row.before == state, (item.id, row)
            state = row.after
        assert state == item.status
