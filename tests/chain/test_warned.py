"""SLURM's warning before the time limit reaches a real job's tool, and the next attempt goes on with its work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from neuroflow.cluster.records import read_exit_record
from neuroflow.domain import FailureClass, RunStatus
from neuroflow.orchestrator.launch import Launcher
from neuroflow.orchestrator.rounds import poll_round
from neuroflow.orchestrator.services import Services
from tests.chain.fast_pipeline import PIPELINE, FastSite
from tests.support.commands import run
from tests.support.slurm import Slurm

pytestmark = [pytest.mark.slow, pytest.mark.slurm]

LIMIT_SECONDS = 240
# The warning comes up to a minute early: between 20 and 80 s after the start. The tool closes its files then.
SETTINGS = {"time_minutes": 3, "sbatch_lines": ["--signal=USR2@100"]}
TOOL = "if [ ! -e heeded ]; then trap 'touch heeded; exit 7' USR2; sleep 600 & wait; fi"


@pytest.fixture
def site(slurm: Slurm, tmp_path: Path) -> FastSite:
    return FastSite(tmp_path / "site", slurm, {"pipelines": {PIPELINE: SETTINGS}}, extra=TOOL)


@pytest.fixture
def services(site: FastSite) -> Iterator[Services]:
    """The site's services; what is left of its jobs ends with them."""
    made = site.services()
    yield made
    left = [attempt.job_id for attempt in made.state.open_attempts() if attempt.job_id]
    if left:
        run(["scancel", *left])
    made.database.close()


def poll_until(services: Services, run_id: int, status: RunStatus) -> None:
    end = time.monotonic() + LIMIT_SECONDS
    while services.state.get_run(run_id).status is not status:
        assert time.monotonic() < end, services.state.get_run(run_id).reason
        poll_round(services, at_once=True)
        time.sleep(0.5)


def test_the_tool_heeds_the_warning_and_the_next_attempt_has_more_time_and_its_work(
    site: FastSite, services: Services
) -> None:
    (opened,) = site.open_runs(services, 1)
    for status in (RunStatus.RETRY_WAIT, RunStatus.COMPLETED):
        assert Launcher(services).launch(opened.id).launched
        poll_until(services, opened.id, status)
    first, second = services.state.attempts_of(opened.id)
    record = read_exit_record(first.folder, token=first.token)
    assert record is not None
    assert (record.stopped_by, record.exit_code) == ("SIGUSR2", 7)
    assert (first.failure, first.counted) == (FailureClass.TIMEOUT, True)
    assert (first.resources.time_minutes, second.resources.time_minutes) == (3, 5)
    # Without the first attempt's work directory the second would have waited for a warning as well.
    assert site.executions().total() == 2
