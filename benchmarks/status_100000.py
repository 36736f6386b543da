"""Measure `neuroflow status` at 100,000 sessions: its wall time, its own work, and how it compares with an import.

On a database of `benchmarks/years.py` (four pipelines, some 360,000 runs). Machines differ and are busy with other
things, so that each command is timed several times, the best counts, and is told as a ratio to the time that
`python -c "import sqlalchemy"` takes as well.

Run: python benchmarks/status_100000.py [FOLDER [SESSIONS]]

FOLDER is made and filled unless it holds a site already; without one, a temporary folder is.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.years import make_site  # noqa: E402
from neuroflow.config import NeuroflowConfig  # noqa: E402
from neuroflow.domain.overview import RunFilter, Standing  # noqa: E402
from neuroflow.views.status import Question, read_status  # noqa: E402
from neuroflow.views.status_document import document  # noqa: E402
from neuroflow.views.status_leave import leave_snapshot  # noqa: E402
from neuroflow.views.status_snapshot import snapshot_path  # noqa: E402

SESSIONS = 100_000
TIMES = 5
OWN_SECONDS, WALL_SECONDS = 0.3, 1.5


def main() -> None:
    """Measure, and print one line for each command."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(temporary) / "site"
        if not (folder / "neuroflow.yaml").exists():
            make_site(folder, sessions=int(sys.argv[2]) if len(sys.argv) > 2 else SESSIONS)
        measure(folder / "neuroflow.yaml")


def measure(file: Path) -> None:
    """Print how long each way of asking takes."""
    config = NeuroflowConfig.find_and_load(file)
    failed = Question(RunFilter(standings=(Standing.FAILED,)), lists_runs=True, limit=20)
    subject = Question(RunFilter(subjects=(a_subject(config),)), lists_runs=True, limit=20)
    own = {
        "status": best(lambda: document(read_status(config))),
        "status --failed": best(lambda: document(read_status(config, failed))),
        "status --subject": best(lambda: document(read_status(config, subject))),
    }
    for name, seconds in own.items():
        print(f"{name:34} own work {seconds:6.3f} s   (wanted: {OWN_SECONDS})")
    leave_snapshot(config, at_once=True)
    bare = best(lambda: call("-c", "pass"))
    sqlalchemy = best(lambda: call("-c", "import sqlalchemy"))
    print(f"{'python -c pass':34} wall     {bare:6.3f} s")
    print(f"{'python -c import sqlalchemy':34} wall     {sqlalchemy:6.3f} s")
    commands = {
        "status": ("status",),
        "status --failed --since 2d": ("status", "--failed", "--since", "2d"),
        "status --json": ("status", "--json"),
        "status --snapshot": ("status", "--snapshot", str(snapshot_path(config))),
        "status --tsv": ("status", "--tsv"),
    }
    for name, arguments in commands.items():
        seconds = best(lambda given=arguments: call("-m", "neuroflow.cli.main", "--config", str(file), *given))
        print(f"{name:34} wall     {seconds:6.3f} s   {seconds / sqlalchemy:4.1f} times `import sqlalchemy`")
    print(f"wanted of `status`: {WALL_SECONDS} s of wall time")


def a_subject(config: NeuroflowConfig) -> str:
    """Return the label of a subject that has runs."""
    runs = read_status(config, failed_one()).runs or ()
    return runs[0].subject


def failed_one() -> Question:
    """Ask for any one run."""
    return Question(RunFilter(standings=(Standing.DONE,)), lists_runs=True, limit=1)


def best(work: Callable[[], object]) -> float:
    """Return the shortest of several times (s)."""
    return min(timed(work) for _ in range(TIMES))


def timed(work: Callable[[], object]) -> float:
    """Return how long something takes (s)."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def call(*arguments: str) -> None:
    """Run Python in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=environment, timeout=300)


if __name__ == "__main__":
    main()
