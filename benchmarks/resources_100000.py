"""Measure `neuroflow resources` on the database of a site with 100,000 sessions, as benchmarks/years.py makes it up.

The whole command is timed, Python's start included, in a process of its own; so is the start alone.

Run: python benchmarks/resources_100000.py [SESSIONS]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from years import make_site

ROUNDS = 3


def seconds(folder: Path, *arguments: str) -> tuple[float, str]:
    """Run a command line some times; return the shortest time and what it wrote."""
    command = [sys.executable, "-m", "neuroflow.cli.main", "--config", str(folder / "neuroflow.yaml"), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    best, out = float("inf"), ""
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        out = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
        best = min(best, time.perf_counter() - begin)
    return best, out


def main(sessions: int) -> None:
    """Make the database, and ask."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = make_site(folder, sessions=sessions)
        print(", ".join(f"{count} {table}" for table, count in rows.items()))
        print(f"neuroflow runs show 1   {seconds(folder, 'runs', 'show', '1')[0]:6.2f} s")
        print(f"neuroflow resources     {seconds(folder, 'resources')[0]:6.2f} s")
        took, shown = seconds(folder, "resources", "qsiprep", "--by", "sessions")
        print(f"… qsiprep --by sessions {took:6.2f} s\n\n{shown}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
