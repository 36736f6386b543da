"""SQLAlchemy engines, set up for one writer at a time on SQLite and for many on PostgreSQL."""

from __future__ import annotations

import glob
import math
import os
import sqlite3
import time
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, create_engine, event
from sqlalchemy.engine import URL

from neuroflow.errors import StateError
from neuroflow.models.types import to_json
from neuroflow.sharing import folder_mode, open_private

_DAMAGED_HINT = "if it is damaged: `neuroflow db backups`, then `neuroflow db restore FILE --replace`"
_SUFFIXES = ("", "-journal", "-wal", "-shm")
_OLD_SECONDS = 24 * 3600.0
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


@contextmanager
def private_copy(path: Path, folder: Path) -> Iterator[Engine]:
    """Copy an SQLite database while others use it, check the copy, and remove it afterwards.

    Raises:
        StateError: when the database is missing or damaged, or can't be copied.
    """
    copy = folder / f".{path.name}.{os.getpid()}.copy"
    remove_old(folder, f".{glob.escape(path.name)}.*.copy*")
    copy.unlink(missing_ok=True)
    make_private_file(copy)
    try:
        _copy(path, copy)
        # Closed to everybody but us, and gone afterwards: no journal is needed, and no foreign keys are checked.
        engine = create_engine(URL.create("sqlite", database=str(copy)), poolclass=NullPool)
        yield engine
        engine.dispose()
    finally:
        for suffix in _SUFFIXES:
            copy.with_name(copy.name + suffix).unlink(missing_ok=True)


def remove_old(folder: Path, pattern: str) -> None:
    """Remove the unfinished files that killed processes have left; none is worked on for a day."""
    for path in folder.glob(pattern):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _OLD_SECONDS:
                path.unlink()


def _copy(path: Path, copy: Path) -> None:
    try:
        with (
            # rw: what a killed writer left half done has to be rolled back first.
            closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            # In one step: it holds writers up for the time of a copy, and none of theirs starts it over.
            source.backup(target)
            answer = target.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        if "disk is full" in str(error):
            raise StateError(
                f"there is no room in {copy.parent} for a copy of the database {path}",
                hint="make room there, or name a folder on another disk",
            ) from error
        raise StateError(f"the database {path} can't be copied: {error}", hint=_DAMAGED_HINT) from error
    if answer != "ok":
        raise StateError(f"the database {path} is damaged: {answer}", hint=_DAMAGED_HINT)


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
