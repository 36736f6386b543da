"""Measure the metrics and a backup of a site with 100,000 sessions, as benchmarks/years.py makes them up.

The first look counts everything; each later one only what has ended since. SQLite in a temporary folder.

Run: python benchmarks/metrics_100000.py [SESSIONS]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from years import fill

from neuroflow.config import NeuroflowConfig
from neuroflow.core.backups import restore_backup, take_backup
from neuroflow.core.database import Database
from neuroflow.core.state import StateManager
from neuroflow.domain import AttemptStatus
from neuroflow.metrics.exposition import exposition
from neuroflow.metrics.facts import gather
from neuroflow.models import AttemptRow
from neuroflow.orchestrator.services import Services

NOW = datetime.now(UTC).replace(microsecond=0)
T = TypeVar("T")


def config_in(root: Path) -> NeuroflowConfig:
    """Return a configuration below a folder."""
    names = ("dicom_root", "bids_root", "derivatives_root", "work_root", "state_dir")
    (root / "dicom_root").mkdir()
    return NeuroflowConfig(paths={name: root / name for name in names}, redis={"url": "embedded"})


def end_some(database: Database, count: int) -> int:
    """Let the oldest of the running attempts end, and return how many."""
    from sqlalchemy import select, update

    with database.write() as session:
        ids = session.scalars(
            select(AttemptRow.id).where(AttemptRow.status == AttemptStatus.RUNNING).order_by(AttemptRow.id).limit(count)
        ).all()
        session.execute(
            update(AttemptRow).where(AttemptRow.id.in_(ids)).values(status=AttemptStatus.SUCCEEDED, ended_at=NOW)
        )
    return len(ids)


def timed(what: str, work: Callable[[], T]) -> T:
    """Do something, and say how long it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    print(f"{what:44s} {time.perf_counter() - wall:8.2f} s, CPU {time.process_time() - cpu:7.2f} s")
    return result


def nothing_more(session: object) -> None:
    """Add nothing to the restore."""


def main() -> None:
    """Fill a database, and measure."""
    sessions = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        config = config_in(root)
        services = Services.from_config(config, check_schema=False)
        services.database.upgrade()
        timed("filling the database", lambda: fill(services.database, sessions=sessions))
        first = timed("metrics, the first time", lambda: exposition(lambda: gather(services, broker=None)))
        timed("metrics, a quiet minute later", lambda: exposition(lambda: gather(services, broker=None)))
        open_before = len(services.state.open_attempts())
        ended = end_some(services.database, 100)
        later = timed(f"metrics, {ended} attempts later", lambda: exposition(lambda: gather(services, broker=None)))
        assert count(later) == count(first) + ended
        path = root / "one.nfbackup"
        backup = timed("a backup", lambda: take_backup(services.database, path))
        rows, size = backup.summary.total, backup.bytes
        stored = services.database.file.stat().st_size if services.database.file is not None else 0
        print(f"  {rows} rows, {size / 1e6:.0f} MB; the database {stored / 1e6:.0f} MB; metrics {len(first)} bytes")
        target = Database(f"sqlite:///{root}/target.db")
        timed("restoring it", lambda: restore_backup(target, path, finish=nothing_more))
        assert len(StateManager(target).open_attempts()) == open_before - ended
        services.database.close()
        target.close()


def count(text: str) -> float:
    """Return how many attempts have ended by an exposition."""
    return sum(
        float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith("neuroflow_attempts_total")
    )


if __name__ == "__main__":
    main()
