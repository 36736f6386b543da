"""What a real SLURM limits is respected before it refuses: submitted jobs of a QOS, and a maintenance."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from neuroflow.domain import OPEN_ATTEMPT_STATUSES, RunStatus
from neuroflow.orchestrator.rounds import poll_round
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.steps import AdvanceReport, InlineDispatcher, advance
from tests.chain.fast_pipeline import PIPELINE, FastSite
from tests.support.commands import run
from tests.support.require import require
from tests.support.slurm import Slurm

pytestmark = [pytest.mark.slow, pytest.mark.slurm]

QOS = f"nftest{os.getpid()}"
RESERVATION = f"nftest{os.getpid()}"
TWO_DAYS_MINUTES = 2 * 24 * 60


@pytest.fixture
def small_qos(slurm: Slurm) -> Iterator[str]:
    """A QOS of which a user may have three jobs at once."""
    require("slurm", os.geteuid() == 0, "only SLURM's admin can make a QOS")
    run(["sacctmgr", "-i", "add", "qos", QOS, "MaxSubmitJobsPerUser=3"], seconds=60)
    run(["sacctmgr", "-i", "modify", "user", "root", f"account={slurm.account}", "set", f"qos+={QOS}"], seconds=60)
    yield QOS
    subprocess.run(["sacctmgr", "-i", "delete", "qos", QOS], check=False, timeout=60, capture_output=True)


@pytest.fixture
def maintenance(slurm: Slurm) -> Iterator[str]:
    """A maintenance of the whole cluster, a day from now."""
    require("slurm", os.geteuid() == 0, "only SLURM's admin can reserve all nodes")
    options = ["starttime=now+1day", "duration=60", "flags=maint,ignore_jobs", "nodes=ALL", "users=root"]
    run(["scontrol", "create", "reservation", f"reservationname={RESERVATION}", *options], seconds=60)
    yield RESERVATION
    run(["scontrol", "delete", f"reservationname={RESERVATION}"], seconds=60)


def look(site: FastSite, sessions: int) -> tuple[Services, AdvanceReport]:
    """Let the poller ask SLURM, then start what is due."""
    services = site.services()
    site.add_sessions(services, sessions)
    poll_round(services, at_once=True)
    return services, advance(services, InlineDispatcher(services))


def end(services: Services) -> None:
    """Cancel what is left of a test's jobs."""
    left = [attempt for attempt in services.state.open_attempts() if attempt.status in OPEN_ATTEMPT_STATUSES]
    with suppress(OSError):
        services.cluster("slurm").cancel(left)
    services.database.close()


def test_only_as_many_jobs_are_submitted_as_the_qos_takes(tmp_path: Path, slurm: Slurm, small_qos: str) -> None:
    changes = {"cluster": {"qos": small_qos, "sbatch_lines": ["--begin=now+1hour"]}}
    site = FastSite(tmp_path / "site", slurm, changes)

    services, report = look(site, sessions=5)

    try:
        assert len(report.dispatched) == 3
        reasons = [wait.reason for wait in report.waits if "the site takes no more jobs" in wait.reason]
        assert len(reasons) == 2
        assert f"MaxSubmitJobsPerUser of QOS {small_qos} is 3" in reasons[0]
        statuses = [item.status for item in services.state.list_runs(pipeline=PIPELINE)]
        assert sorted(statuses) == [RunStatus.PENDING] * 2 + [RunStatus.SUBMITTED] * 3, "nothing failed"
    finally:
        end(services)


def test_a_job_that_cannot_end_before_a_maintenance_is_not_submitted(
    tmp_path: Path, slurm: Slurm, maintenance: str
) -> None:
    changes = {"pipelines": {PIPELINE: {"time_minutes": TWO_DAYS_MINUTES}}}
    site = FastSite(tmp_path / "site", slurm, changes)

    services, report = look(site, sessions=1)

    try:
        assert report.dispatched == ()
        assert [wait.reason for wait in report.waits if f"maintenance '{maintenance}' begins at" in wait.reason]
    finally:
        end(services)


def test_one_that_may_be_shorter_goes_out_with_the_time_that_is_left(
    tmp_path: Path, slurm: Slurm, maintenance: str
) -> None:
    settings = {"time_minutes": TWO_DAYS_MINUTES, "shortest_minutes": 60}
    changes = {"pipelines": {PIPELINE: settings}, "cluster": {"sbatch_lines": ["--begin=now+1hour"]}}
    site = FastSite(tmp_path / "site", slurm, changes)

    services, report = look(site, sessions=1)

    try:
        (run_id,) = report.dispatched
        (attempt,) = services.state.attempts_of(run_id)
        assert 23 * 60 <= attempt.resources.time_minutes < 24 * 60
        words = [row.reason for row in services.state.list_audit(entity="run", entity_id=run_id)]
        assert [text for text in words if f"instead of {TWO_DAYS_MINUTES}: a maintenance begins" in text]
    finally:
        end(services)
