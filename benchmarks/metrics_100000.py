"""Measure the metrics and a backup of a site with 100,000 sessions: four pipelines, 400,000 runs and attempts.

The first look counts everything; each later one only what has ended since. SQLite in a temporary folder.

Run: python benchmarks/metrics_100000.py [SESSIONS]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from sqlalchemy import insert

from neuroflow.config import NeuroflowConfig
from neuroflow.core.backups import restore_backup, take_backup
from neuroflow.core.database import Database
from neuroflow.core.state import StateManager
from neuroflow.domain import AttemptStatus, FailureClass, Level, Resources, RunStatus, SessionStatus
from neuroflow.metrics.exposition import exposition
from neuroflow.metrics.facts import gather
from neuroflow.models import AttemptRow, AuditRow, RunRow, SessionRow, SubjectRow
from neuroflow.orchestrator.services import Services

PIPELINES = ("bids_conversion", "qsiprep", "qsirecon", "qsiparc")
NOW = datetime.now(UTC).replace(microsecond=0)
OPEN = 2000  # attempts in flight, the newest ones
AUDITS = 6  # rows per run
CHUNK = 5000
T = TypeVar("T")


def config_in(root: Path) -> NeuroflowConfig:
    """Return a configuration below a folder."""
    names = ("dicom_root", "bids_root", "derivatives_root", "work_root", "state_dir")
    (root / "dicom_root").mkdir()
    return NeuroflowConfig(paths={name: root / name for name in names}, redis={"url": "embedded"})


def fill(database: Database, sessions: int) -> None:
    """Write a site that has worked for years."""
    runs = sessions * len(PIPELINES)
    with database.write() as session:
        for start in range(0, sessions, CHUNK):
            numbers = range(start, min(start + CHUNK, sessions))
            session.execute(insert(SubjectRow), [subject_row(number) for number in numbers])
            session.execute(insert(SessionRow), [session_row(number) for number in numbers])
        for start in range(0, runs, CHUNK):
            numbers = range(start, min(start + CHUNK, runs))
            session.execute(insert(RunRow), [run_row(number, runs) for number in numbers])
            session.execute(insert(AttemptRow), [attempt_row(number, runs) for number in numbers])
            session.execute(insert(AuditRow), [audit_row(number) for number in numbers for _ in range(AUDITS)])


def subject_row(number: int) -> dict[str, object]:
    return {"id": number + 1, "label": f"{number:06}", "created_at": NOW}


def session_row(number: int) -> dict[str, object]:
    return {
        "id": number + 1,
        "subject_id": number + 1,
        "label": "a",
        "path": f"/dicom/sub-{number:06}/ses-a",
        "status": SessionStatus.READY,
        "status_reason": "complete",
        "fingerprint": f"{number:064}",
        "fingerprint_since": NOW,
        "files": 1000,
        "bytes": 10**9,
        "newest_mtime": 1.7e9,
        "series": (),
        "problems": (),
        "created_at": NOW,
        "updated_at": NOW,
    }


def run_row(number: int, runs: int) -> dict[str, object]:
    open_now, failed = number >= runs - OPEN, number % 20 == 0
    status = RunStatus.RUNNING if open_now else RunStatus.FAILED if failed else RunStatus.COMPLETED
    return {
        "id": number + 1,
        "pipeline": PIPELINES[number % len(PIPELINES)],
        "level": Level.SESSION,
        "scope": f"sub-{number // len(PIPELINES):06}/ses-a",
        "subject_id": number // len(PIPELINES) + 1,
        "session_id": number // len(PIPELINES) + 1,
        "inputs_key": f"run:{number}",
        "status": status,
        "reason": "exit code 0, all outputs are there",
        "superseded": failed and number % 40 == 0,
        "attempts": 1,
        "error_message": "",
        "exclude_nodes": (),
        "metrics": {},
        "signature": "",
        "resolution": "",
        "created_at": NOW,
        "updated_at": NOW,
    }


def attempt_row(number: int, runs: int) -> dict[str, object]:
    open_now, failed = number >= runs - OPEN, number % 20 == 0
    status = AttemptStatus.RUNNING if open_now else AttemptStatus.FAILED if failed else AttemptStatus.SUCCEEDED
    submitted = NOW - timedelta(days=1, seconds=number % 100_000)
    token = f"nf-{PIPELINES[number % len(PIPELINES)]}-{number + 1}-0123456789ab"
    return {
        "id": number + 1,
        "run_id": number + 1,
        "number": 1,
        "token": token,
        "status": status,
        "where": "slurm",
        "folder": f"/shared/neuroflow/state/attempts/{token}",
        "job_id": str(number),
        "job_word": "COMPLETED",
        "job_reason": "",
        "resources": Resources(8, 32_000, 720),
        "counted": True,
        "failure": FailureClass.OUT_OF_MEMORY if failed and not open_now else None,
        "message": "",
        "host": f"n{number % 300}",
        "created_at": submitted,
        "submitted_at": submitted,
        "started_at": submitted + timedelta(seconds=number % 50_000),
        "ended_at": None if open_now else submitted + timedelta(seconds=number % 50_000 + number % 30_000),
        "signature": "",
    }


def audit_row(number: int) -> dict[str, object]:
    return {
        "at": NOW,
        "actor": "neuroflow",
        "event": "run.completed",
        "entity": "run",
        "entity_id": number + 1,
        "before": "running",
        "after": "completed",
        "reason": "exit code 0, all outputs are there",
        "details": {},
    }


def end_some(database: Database, count: int) -> None:
    """Let the oldest of the open attempts end."""
    from sqlalchemy import select, update

    with database.write() as session:
        ids = session.scalars(
            select(AttemptRow.id).where(AttemptRow.status == AttemptStatus.RUNNING).order_by(AttemptRow.id).limit(count)
        ).all()
        session.execute(
            update(AttemptRow).where(AttemptRow.id.in_(ids)).values(status=AttemptStatus.SUCCEEDED, ended_at=NOW)
        )


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
        timed("filling the database", lambda: fill(services.database, sessions))
        first = timed("metrics, the first time", lambda: exposition(lambda: gather(services, broker=None)))
        timed("metrics, a quiet minute later", lambda: exposition(lambda: gather(services, broker=None)))
        end_some(services.database, 100)
        later = timed("metrics, 100 attempts later", lambda: exposition(lambda: gather(services, broker=None)))
        assert count(later) == count(first) + 100
        path = root / "one.nfbackup"
        backup = timed("a backup", lambda: take_backup(services.database, path))
        rows, size = backup.summary.total, backup.bytes
        stored = services.database.file.stat().st_size if services.database.file is not None else 0
        print(f"  {rows} rows, {size / 1e6:.0f} MB; the database {stored / 1e6:.0f} MB; metrics {len(first)} bytes")
        target = Database(f"sqlite:///{root}/target.db")
        timed("restoring it", lambda: restore_backup(target, path, finish=nothing_more))
        assert len(StateManager(target).open_attempts()) == OPEN - 100
        services.database.close()
        target.close()


def count(text: str) -> float:
    """Return how many attempts have ended by an exposition."""
    return sum(
        float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith("neuroflow_attempts_total")
    )


if __name__ == "__main__":
    main()
