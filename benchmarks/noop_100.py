"""Compare 100 no-op runs through neuroflow on a real SLURM with a bare sbatch loop and a submitit loop.

    python benchmarks/noop_100.py [RUNS]

Needs the tests' services (`tests/cluster/services.sh up`) and redis-server. All ways run in turn on the same cluster:
the ratios count, not the seconds. "CPU" is what the login node's side spent per run: submitting, polling, and, of
neuroflow, worker, beat and database; not what the jobs themselves spent.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from neuroflow.domain import RunStatus
from tests.chain.fast_pipeline import PIPELINE, FastSite
from tests.chain.site import celery
from tests.support.redis_server import running_redis
from tests.support.slurm import Slurm

ACCOUNT = ["--account=lab", "--partition=main", "--mem=200M", "--time=10"]
PATIENCE_SECONDS = 900.0


def main(runs: int = 100) -> None:
    """Measure each way, and print one line each."""
    ways: dict[str, Callable[[int], tuple[float, float]]] = {
        "sbatch loop": sbatch_loop,
        "submitit loop": submitit_loop,
        "neuroflow, one by one": lambda count: neuroflow(count, array_size=1),
        "neuroflow, arrays": lambda count: neuroflow(count, array_size=500),
    }
    measured = {name: way(runs) for name, way in ways.items()}
    wall, cpu = measured["sbatch loop"]
    print(f"{runs} runs of a shell script")
    for name, (seconds, spent) in measured.items():
        print(
            f"{name:22} {seconds:6.1f} s wall ({seconds / wall:5.2f} times sbatch), "
            f"{1000 * spent / runs:6.1f} ms CPU per run ({spent / cpu:5.2f} times sbatch)"
        )


def sbatch_loop(runs: int) -> tuple[float, float]:
    """Submit with one sbatch each, and ask squeue every second until all are gone."""
    began, before = time.monotonic(), children_cpu()
    with tempfile.TemporaryDirectory() as folder:
        command = ["sbatch", "--parsable", *ACCOUNT, f"--output={folder}/%j.out", "--wrap=true"]
        ids = [subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() for _ in range(runs)]
        wait_until(lambda: not set(ids) & set(living()))
    return time.monotonic() - began, children_cpu() - before


def submitit_loop(runs: int) -> tuple[float, float]:
    """Submit one by one with submitit, and wait for the results."""
    import submitit

    began, before = time.monotonic(), children_cpu() + own_cpu()
    with tempfile.TemporaryDirectory(dir=Path.home()) as folder:
        executor = submitit.AutoExecutor(folder, cluster="slurm")
        executor.update_parameters(timeout_min=10, slurm_account="lab", slurm_partition="main", slurm_mem="200M")
        jobs = [executor.submit(subprocess.check_call, ["true"]) for _ in range(runs)]
        for job in jobs:
            job.result()
    return time.monotonic() - began, children_cpu() + own_cpu() - before


def neuroflow(runs: int, *, array_size: int) -> tuple[float, float]:
    """Let a worker and beat carry the runs through, from the database to their verdicts."""
    with tempfile.TemporaryDirectory() as folder, running_redis() as redis:
        changes = {
            "redis": {"url": redis.url},
            "cluster": {"array_size": array_size, "poll_seconds": 2},
            "pipelines": {"qsiparc": {"enabled": False}},
        }
        site = FastSite(Path(folder) / "site", Slurm(), changes)
        services = site.services()
        began, before = time.monotonic(), children_cpu()
        site.open_runs(services, runs)
        with celery(site, "worker", "-c", "2"), celery(site, "beat"):
            wait_until(lambda: len(services.state.list_runs(pipeline=PIPELINE, status=RunStatus.COMPLETED)) == runs)
            seconds = time.monotonic() - began
        services.database.close()
        return seconds, children_cpu() - before  # the services' own, counted once they have ended


def living() -> list[str]:
    """Return the jobs that wait or run."""
    return subprocess.run(["squeue", "-h", "-o", "%i"], capture_output=True, text=True, check=True).stdout.split()


def wait_until(condition: Callable[[], bool]) -> None:
    """Ask every second."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the runs did not end")
        time.sleep(1.0)


def children_cpu() -> float:
    """Return the CPU seconds of this process's ended children, theirs included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def own_cpu() -> float:
    """Return the CPU seconds of this process."""
    times = os.times()
    return times.user + times.system


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
