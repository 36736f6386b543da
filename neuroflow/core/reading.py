"""Reader: one look at the state database that can't change anything, without loading an object mapper.

`neuroflow status` is asked for often, and by people who may read the database and not write to it. Importing SQLAlchemy
alone takes longer than all that it asks.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from neuroflow.core.revisions import check_revision, shipped_revisions
from neuroflow.errors import ConfigError, StateError
from neuroflow.masking import mask_text

if TYPE_CHECKING:
    from neuroflow.config import NeuroflowConfig

_SQLITE = "sqlite:///"
_BUSY_HINT = "try again; if it stays busy, look for a neuroflow process that hangs (`neuroflow up --status`)"
_CLOSED_HINT = (
    "is database.url right? Of another user's installation, read its snapshot: `neuroflow status --snapshot FILE`"
)


class _Cursor(Protocol):
    def fetchall(self) -> list[Any]: ...


class _Connection(Protocol):
    def execute(self, query: Any, params: Any = ..., /) -> _Cursor: ...


@dataclass(frozen=True)
class Reader:
    """A transaction that sees one moment of the database; `?` stands for a value in its queries."""

    connection: _Connection
    is_postgres: bool

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        if self.is_postgres:
            return [tuple(row) for row in self.connection.execute(query.replace("?", "%s"), values).fetchall()]
        return self.connection.execute(query, tuple(_for_sqlite(value) for value in values)).fetchall()

    def count(self, query: str, *values: object) -> int:
        """Return the one number of a query, 0 for none."""
        return int(self.rows(query, *values)[0][0] or 0)

    def hour_of(self, column: str) -> str:
        """Return the expression for the hour (UTC) of a time, such as `2026-03-01 12`."""
        if self.is_postgres:
            return f"to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24')"
        return f"substr({column}, 1, 13)"  # SQLAlchemy's text, 2026-03-01 12:00:00.000000, is in UTC

    def by_bytes(self, column: str) -> str:
        """Return a column that is compared as Python compares text, whatever the language of the database."""
        return f'{column} COLLATE "C"' if self.is_postgres else column

    def values_of(self, *keys: str) -> dict[str, tuple[Mapping[str, Any], datetime]]:
        """Return the service values of some keys that are there, with the times at which they were set."""
        marks = ", ".join("?" * len(keys))
        query = f"SELECT key, value, updated_at FROM service_values WHERE key IN ({marks})"
        return {key: (as_json(value), as_time(at)) for key, value, at in self.rows(query, *keys)}


def as_json(value: Any) -> Mapping[str, Any]:
    """Return a JSON object of either database."""
    found = json.loads(value) if isinstance(value, str) else value
    return found if isinstance(found, Mapping) else {}


def as_time(value: Any) -> datetime:
    """Return a time of either database, aware, in UTC."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def maybe_time(value: Any) -> datetime | None:
    """Return a time of either database, or None."""
    return None if value is None else as_time(value)


def _for_sqlite(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")  # as SQLAlchemy writes it
    return value


@contextmanager
def open_reader(config: NeuroflowConfig) -> Iterator[Reader]:
    """Look at the database that a configuration names.

    Raises:
        StateError: when it is missing, closed to this user, busy, or of another revision than the code.
    """
    url = config.database_url().replace("sqlite+pysqlite:", "sqlite:", 1)
    seconds = config.database.busy_timeout_seconds
    if url.startswith(_SQLITE):
        look = _sqlite(Path(url.removeprefix(_SQLITE).partition("?")[0]), seconds)
    elif url.startswith(("postgresql", "postgres:")):
        look = _postgres(url, seconds)
    else:
        from neuroflow.core.urls import parse_url  # says what is allowed

        raise ConfigError(f"database.url can't be used: {parse_url(url).drivername}")
    with look as reader:
        yield reader


@contextmanager
def _sqlite(path: Path, seconds: float) -> Iterator[Reader]:
    # What a killed writer left half done is rolled back by whoever may; for others such a file can't be read.
    mode = "rw" if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK) else "ro"
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True, timeout=seconds, isolation_level=None)
    except (sqlite3.Error, ValueError) as error:
        raise _not_opened(path) from error
    with closing(connection):
        try:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("BEGIN")
            _check(Reader(connection, is_postgres=False), str(path))
            yield Reader(connection, is_postgres=False)
        except sqlite3.Error as error:
            raise _translated(path, error, seconds) from error


def _not_opened(path: Path) -> StateError:
    hint = "run `neuroflow db upgrade`, which makes a new installation's database" if _is_mine(path) else _CLOSED_HINT
    return StateError(f"the database {path} can't be opened: the file is missing or closed to you", hint=hint)


def _is_mine(path: Path) -> bool:
    return os.access(path.parent, os.W_OK) or not path.parent.exists()


def _translated(path: Path, error: sqlite3.Error, seconds: float) -> StateError:
    text = str(error)
    if "locked" in text:
        return StateError(
            f"the database {path} is busy: another process held its lock for {seconds:g} s", hint=_BUSY_HINT
        )
    if "unable to open" in text:
        return _not_opened(path)
    if "readonly" in text:
        return StateError(
            f"the database {path} can't be read just now: a writer was killed, and only its owner can undo its half",
            hint="any neuroflow command of its owner does that",
        )
    return StateError(f"the database {path} failed: {text}", hint="")


@contextmanager
def _postgres(url: str, seconds: float) -> Iterator[Reader]:
    import psycopg

    address = url.replace("postgresql+psycopg://", "postgresql://", 1).replace("postgres://", "postgresql://", 1)
    name = mask_text(address)
    try:
        with psycopg.connect(address, connect_timeout=max(2, round(seconds))) as connection:
            connection.read_only = True
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            reader = Reader(connection, is_postgres=True)
            _check(reader, name)
            yield reader
    except psycopg.Error as error:
        text = " ".join(mask_text(str(error)).split())
        raise StateError(
            f"the database {name} does not answer: {text}", hint="check database.url, and that its server runs"
        ) from error


def _check(reader: Reader, name: str) -> None:
    table = "information_schema.tables" if reader.is_postgres else "sqlite_master"
    column = "table_name" if reader.is_postgres else "name"
    there = reader.count(f"SELECT count(*) FROM {table} WHERE {column} = 'alembic_version'")
    rows = reader.rows("SELECT version_num FROM alembic_version") if there else []
    check_revision(rows[0][0] if rows else None, known=shipped_revisions(), database=name)
