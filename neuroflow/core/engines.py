"""SQLAlchemy engines, set up for one writer at a time on SQLite and for many on PostgreSQL."""

from __future__ import annotations

import math
import os
import sqlite3
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, create_engine, event
from sqlalchemy.engine import URL

from neuroflow.models.types import to_json
from neuroflow.sharing import folder_mode, open_private

WRITES = "neuroflow_writes"  # execution option: the transaction is going to change something


def sqlite_file(url: URL) -> Path | None:
    """Return the file of an SQLite URL, None for other databases."""
    return Path(str(url.database)) if url.get_backend_name() == "sqlite" else None


def make_engine(url: URL, busy_timeout_seconds: float) -> Engine:
    """Build an engine that connects at its first use."""
    if sqlite_file(url) is not None:
        return _sqlite_engine(url, busy_timeout_seconds)
    return _postgres_engine(url, busy_timeout_seconds)


def make_private_file(path: Path) -> None:
    """Create an empty database file, and its folder where that is missing, as closed as what they lie in."""
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(folder_mode(path.parent.parent))  # mkdir's own mode is subject to the umask
    with suppress(FileExistsError):
        os.close(open_private(path, os.O_CREAT | os.O_EXCL | os.O_RDWR))


def _sqlite_engine(url: URL, timeout_seconds: float) -> Engine:
    # mode=rw: only `upgrade` makes a database; a wrong path must not become an empty one.
    address = f"{Path(str(url.database)).as_uri()}?mode=rw"

    def connect() -> sqlite3.Connection:
        # isolation_level None: the driver begins no transactions by itself, `_begin` does.
        connection = sqlite3.connect(
            address, uri=True, timeout=timeout_seconds, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA foreign_keys = ON")
        # Write-ahead logging needs shared memory, which network file systems lack.
        connection.execute("PRAGMA journal_mode = DELETE")
        return connection

    # No pool: a connection that crosses a fork loses its locks, and opening a file is cheap.
    engine = create_engine(url, creator=connect, poolclass=NullPool, hide_parameters=True, json_serializer=to_json)
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    # A transaction that begins with a read and writes later can fail halfway: take the lock at once.
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgres_engine(url: URL, timeout_seconds: float) -> Engine:
    engine = create_engine(
        url,
        pool_pre_ping=True,
        hide_parameters=True,
        json_serializer=to_json,
        connect_args={"connect_timeout": max(2, math.ceil(timeout_seconds))},
    )
    milliseconds = math.ceil(timeout_seconds * 1000)

    def limit_waiting(connection: Any, record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = {milliseconds}")
        connection.commit()

    event.listen(engine, "connect", limit_waiting)
    _forget_after_fork(engine)
    return engine


def _forget_after_fork(engine: Engine) -> None:
    """Make a forked child open connections of its own; Celery's workers are forked."""
    reference = weakref.ref(engine)

    def dispose() -> None:
        parent_engine = reference()
        if parent_engine is not None:
            parent_engine.dispose(close=False)

    os.register_at_fork(after_in_child=dispose)
