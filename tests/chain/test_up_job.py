"""`neuroflow up` as a SLURM job hands over to its successor before its time limit, and the runs go on."""

from __future__ import annotations

import getpass
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from neuroflow.cli.services_text import job_name
from neuroflow.domain import RunStatus
from neuroflow.orchestrator.services import Services
from tests.chain.fast_pipeline import PIPELINE, FastSite
from tests.support.commands import run
from tests.support.slurm import Slurm

pytestmark = [pytest.mark.slow, pytest.mark.slurm, pytest.mark.redis]


@pytest.fixture
def site(tmp_path: Path, slurm: Slurm) -> Iterator[FastSite]:
    """A site whose name needs quotes, with a Redis of its own; its jobs are cancelled afterwards."""
    made = FastSite(tmp_path / "it's a lab; & (x)", slurm, {"redis": {"url": "embedded"}}, extra="sleep 1")
    yield made
    subprocess.run(["scancel", f"--name={job_name(made.config(), 'up')}"], check=False, timeout=60)


class Queue:
    """The jobs of one name, as squeue has shown them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.most_running = 0
        self.most_waiting = 0

    def look(self) -> dict[str, str]:
        """Return the states by job id."""
        shown = run(["squeue", "-h", "-u", getpass.getuser(), "-n", self.name, "-o", "%A %T"], seconds=30)
        states = dict(line.split() for line in shown.splitlines())
        self.most_running = max(self.most_running, sum(state == "RUNNING" for state in states.values()))
        self.most_waiting = max(self.most_waiting, sum(state == "PENDING" for state in states.values()))
        return states

    def wait_for_running(self, *, but: str = "", seconds: float) -> str:
        """Return the job that runs, once it is another one than `but`."""
        deadline = time.monotonic() + seconds
        while True:
            found = [job_id for job_id, state in self.look().items() if state == "RUNNING" and job_id != but]
            if found:
                return found[0]
            assert time.monotonic() < deadline, self.look()
            time.sleep(1)


def wait_until_completed(services: Services, count: int, *, queue: Queue, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while sum(one.status is RunStatus.COMPLETED for one in services.state.list_runs(pipeline=PIPELINE)) < count:
        assert time.monotonic() < deadline, [(one.scope, one.status) for one in services.state.list_runs()]
        queue.look()
        time.sleep(1)


def test_up_hands_over_to_its_successor_and_every_run_completes_once(site: FastSite, slurm: Slurm) -> None:
    services = site.services()
    script = site.root / "up.sbatch"
    options = ["--time-minutes", "2", "--stop-seconds", "5", "--cpus", "1", "--memory-mb", "1500"]
    command = [sys.executable, "-m", "neuroflow.cli.main", "--config", str(site.folder.config), "services", "render"]
    run([*command, "up-job", *options, "--partition", slurm.partition, "--output", str(script)], seconds=60)
    queue = Queue(job_name(site.config(), "up"))

    first = run(["sbatch", "--parsable", str(script)], seconds=60).strip()
    site.add_sessions(services, 2, subject="01")
    wait_until_completed(services, 2, queue=queue, seconds=80)
    second = queue.wait_for_running(but=first, seconds=180)
    site.add_sessions(services, 2, subject="02")
    wait_until_completed(services, 4, queue=queue, seconds=80)

    assert (queue.most_running, queue.most_waiting) == (1, 1)
    assert set(site.executions().values()) == {1}
    log = (site.config().logs_dir / f"up-{first}.log").read_text(encoding="utf-8")
    assert re.findall(r"job (\d+) was submitted to follow", log) == [second]
    assert "the time limit is near" in log
    assert "neuroflow up has stopped" in log
    services.database.close()
