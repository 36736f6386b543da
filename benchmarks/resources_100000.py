"""Measure `neuroflow resources` on the database of a site with 100,000 sessions, as benchmarks/years.py makes it up.

The whole command is timed, Python's start included, in a process of its own; so is the start alone.

Run: python benchmarks/resources_100000.py [SESSIONS]
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from years import make_site

ROUNDS = 3


def measured(folder: Path, *arguments: str) -> str:
    """Run a command line some times; say the shortest time, and CPU time, and return what it wrote."""
    command = [sys.executable, "-m", "neuroflow.cli.main", "--config", str(folder / "neuroflow.yaml"), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    best, least, out = float("inf"), float("inf"), ""
    for _ in range(ROUNDS):
        begin, used = time.perf_counter(), cpu_seconds()
        out = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
        best, least = min(best, time.perf_counter() - begin), min(least, cpu_seconds() - used)
    print(f"neuroflow {' '.join(arguments):34s} {best:6.2f} s, CPU {least:6.2f} s")
    return out


def cpu_seconds() -> float:
    """Return what the processes that have ended have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(sessions: int) -> None:
    """Make the database, and ask."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = make_site(folder, sessions=sessions)
        print(", ".join(f"{count} {table}" for table, count in rows.items()))
        measured(folder, "runs", "show", "1")
        measured(folder, "resources")
        print(f"\n{measured(folder, 'resources', 'qsiprep', '--by', 'sessions')}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
