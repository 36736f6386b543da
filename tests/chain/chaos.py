"""What can befall a neuroflow in a few minutes: processes killed, Redis emptied, SLURM away, jobs pushed about."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from neuroflow.domain import AttemptStatus
from neuroflow.orchestrator.services import Services
from tests.chain.fast_pipeline import FastSite
from tests.support.redis_server import RedisServer

CLUSTER = Path(__file__).resolve().parents[1] / "cluster" / "services.sh"
NODE = "n4"

# Accepts the job, and then says, every third time, that nobody answered, or says nothing for longer than anybody waits.
SBATCH = """#!/bin/sh
answer=$({real} "$@") || exit
case $(($(od -An -N1 -tu1 /dev/urandom) % 6)) in
    0) echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2; exit 1 ;;
    1) sleep 60 ;;
esac
echo "$answer"
"""


@dataclass
class Chaos:
    """The services of one site, and the ways in which they are mistreated."""

    site: FastSite
    services: Services
    redis: RedisServer
    dice: random.Random
    done: list[str] = field(default_factory=list)
    cancelled_jobs: set[str] = field(default_factory=set)
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str) -> None:
        """Start `worker` or `beat`, with an sbatch that can't be relied on in its PATH."""
        arguments = {"worker": ("worker", "-c", "3"), "beat": ("beat",)}[name]
        command = [sys.executable, "-m", "celery", "-A", "neuroflow.workers.celery_app", *arguments]
        environment = {
            **os.environ,
            "NEUROFLOW_CONFIG": str(self.site.folder.config),
            "PATH": f"{self.site.root / 'bin'}:{os.environ['PATH']}",
        }
        with (self.site.root / f"celery-{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command,
                cwd=self.site.root,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """End a service and all its children as an out-of-memory killer or a reboot would."""
        process = self._processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)

    def stop(self) -> None:
        """End what still runs."""
        for name in list(self._processes):
            self.kill(name)

    # --- what happens ---

    def worker_killed(self) -> None:
        """Kill the worker, which polls and submits, at whatever it is doing."""
        self.kill("worker")
        self.start("worker")

    def beat_killed(self) -> None:
        """Kill beat."""
        self.kill("beat")
        self.start("beat")

    def redis_flushed(self) -> None:
        """Lose every task that waits."""
        self.redis.flush()

    def redis_restarted(self) -> None:
        """Crash Redis, which keeps nothing, and start it again."""
        self.redis.kill()
        self.redis.start()

    def controller_restarted(self) -> None:
        """Crash slurmctld and start it again."""
        self._cluster("crash", "slurmctld")
        self._cluster("up")

    def accounting_restarted(self) -> None:
        """Crash slurmdbd and start it again."""
        self._cluster("crash", "slurmdbd")
        self._cluster("up")

    def job_requeued(self) -> None:
        """Requeue a running job, as an admin does."""
        self._on_a_job("scontrol", "requeue")

    def job_cancelled(self) -> None:
        """Cancel a job, as an admin does."""
        job_id = self._on_a_job("scancel")
        if job_id is not None:
            self.cancelled_jobs.add(job_id)

    def node_down(self) -> None:
        """Take a node down under its jobs, and give it back."""
        for state in ("down", "resume"):
            command = ["scontrol", "update", f"nodename={NODE}", f"state={state}", "reason=chaos"]
            subprocess.run(command, check=False, capture_output=True, timeout=60)

    def events(self) -> list[Callable[[], None]]:
        """Return everything that can happen."""
        return [
            self.worker_killed,
            self.beat_killed,
            self.redis_flushed,
            self.redis_restarted,
            self.controller_restarted,
            self.accounting_restarted,
            self.job_requeued,
            self.job_cancelled,
            self.node_down,
        ]

    def _cluster(self, *arguments: str) -> None:
        subprocess.run([CLUSTER, *arguments], check=True, capture_output=True, timeout=200)

    def _on_a_job(self, *command: str) -> str | None:
        """Do something to a running job of this site."""
        running = [item for item in self.services.state.open_attempts() if item.status is AttemptStatus.RUNNING]
        if not running:
            return None
        job_id = self.dice.choice(running).job_id
        if job_id is not None:
            subprocess.run([*command, job_id], check=False, capture_output=True, timeout=60)
        return job_id
