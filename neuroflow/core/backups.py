"""Take a backup of the whole state database while it is used, and put one back, in one transaction."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from neuroflow import __version__
from neuroflow.core import portable, schema
from neuroflow.core.database import Database
from neuroflow.core.dump import Header, Summary, read_rows, verify_dump, write_dump
from neuroflow.core.engines import remove_old
from neuroflow.errors import StateError

R = TypeVar("R")

# A database with none of these has no history that a restore could destroy.
_HISTORY = ("subjects", "pipeline_runs", "attempts")


@dataclass(frozen=True)
class Backup:
    """A backup file that was just written."""

    path: Path
    summary: Summary
    bytes: int


def take_backup(database: Database, path: Path) -> Backup:
    """Write a backup, closed to other users; it is in its place whole or not at all.

    Raises:
        StateError: when the database can't be read, or the file can't be written or is there already.
    """
    revision = database.current()
    if revision is None:
        raise StateError(f"the database {database.name} has no neuroflow schema: there is nothing to back up")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if path.exists():
            raise FileExistsError(errno.EEXIST, "it is there already")
        _make_folder(path.parent)
        remove_old(path.parent, ".*.nfbackup.*.tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream, database.moment(path.parent) as connection:
            tables = portable.kept_tables(portable.reflect(connection))
            header = Header(
                neuroflow=__version__,
                revision=str(schema.read_revision(connection)),
                created_at=datetime.now(UTC).isoformat(timespec="seconds"),
                tables={table.name: [column.name for column in table.columns] for table in tables},
                last_ids=portable.last_ids(connection, tables),
            )
            summary = write_dump(stream, header, portable.all_rows(connection, tables))
            stream.flush()
            os.fsync(stream.fileno())
        verify_dump(temporary)  # what can't be read back is no backup
        os.replace(temporary, path)  # noqa: PTH105
    except OSError as error:
        raise StateError(
            f"the backup {path} can't be written: {error.strerror or error}",
            hint="name a new file, in a folder that is writable and has room",
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    return Backup(path, summary, path.stat().st_size)


def history(database: Database) -> dict[str, int]:
    """Return how many subjects, runs and attempts a database holds; none for one without a schema."""
    if database.current() is None:
        return {}
    with database.read() as session:
        tables = portable.reflect(session.connection()).tables
        found = {name: tables[name] for name in _HISTORY if name in tables}
        counts = {name: session.scalars(select(func.count()).select_from(table)).one() for name, table in found.items()}
    return {name: count for name, count in counts.items() if count}


def restore_backup(database: Database, path: Path, *, finish: Callable[[Session], R]) -> R:
    """Replace everything in a database by a backup, and bring it to this code's schema, all or nothing.

    Args:
        finish: what else belongs to the same transaction; gets a session over the restored tables.

    Raises:
        StateError: when the backup is damaged or of a later schema, or the database can't be changed.
    """
    header = verify_dump(path).header
    if header.revision not in schema.revisions():
        raise StateError(
            f"the backup {path} has the schema {header.revision}, which this neuroflow {__version__} does not know",
            hint=f"restore it with neuroflow {header.neuroflow} or a later one",
        )
    with database.change_schema() as connection:
        portable.drop_all(connection)
        schema.run_migrations(connection, header.revision)
        metadata = portable.reflect(connection)
        portable.insert_rows(connection, metadata, header.tables, read_rows(path))
        for name, last in header.last_ids.items():
            portable.set_last_id(connection, name, last)
        schema.run_migrations(connection)
        with Session(connection, autoflush=False, expire_on_commit=False) as session:
            result = finish(session)
            session.flush()
    return result


def _make_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True)
