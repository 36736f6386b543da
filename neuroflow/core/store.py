"""What the parts of StateManager share: the database, the clock, and a few SQL helpers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from typing import Any, TypeVar, cast

from sqlalchemy import ColumnElement, CursorResult, Table, and_, bindparam
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import InstrumentedAttribute, Session

from neuroflow.core.database import Database
from neuroflow.core.schema import lock_for_transaction
from neuroflow.domain import ENDED_RUN_STATUSES, OPEN_ATTEMPT_STATUSES, AttemptStatus, RunStatus
from neuroflow.models import AttemptRow, Base, RunRow

V = TypeVar("V")

DEFAULT_ACTOR = "neuroflow"
IDS_PER_STATEMENT = 900  # older SQLite takes 999 bound values
ENDED_ATTEMPT_STATUSES = frozenset(AttemptStatus) - OPEN_ATTEMPT_STATUSES


def utcnow() -> datetime:
    """Return the present time, aware, in UTC."""
    return datetime.now(UTC)


class Store:
    """The base of StateManager's parts: one transaction per method."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime] = utcnow) -> None:
        self._database = database
        self._clock = clock

    @property
    def database(self) -> Database:
        """The database that all reads and writes go to."""
        return self._database

    @contextmanager
    def _write(self) -> Iterator[tuple[Session, datetime]]:
        with self._database.write() as session:
            yield session, self._clock()

    @contextmanager
    def _read(self) -> Iterator[Session]:
        with self._database.read() as session:
            yield session


def in_chunks(values: Iterable[V], size: int = IDS_PER_STATEMENT) -> Iterator[list[V]]:
    """Divide values into lists that one statement takes."""
    rest = iter(values)
    while chunk := list(islice(rest, size)):
        yield chunk


def alone(session: Session, name: str) -> None:
    """Make other transactions that ask for the same name wait until this one has ended."""
    lock_for_transaction(session.connection(), name)


def run_is_open() -> ColumnElement[bool]:
    """Return the condition of an open run, spelled as in the partial index, so that the index serves it."""
    return _not_in(RunRow.status, ENDED_RUN_STATUSES)


def was_withdrawn(row: Any) -> ColumnElement[bool]:
    """Return RunRecord.was_withdrawn, in SQL."""
    return and_(row.status == RunStatus.CANCELLED, row.superseded)


def attempt_is_open() -> ColumnElement[bool]:
    """Return the condition of an open attempt, spelled as in the partial index."""
    return _not_in(AttemptRow.status, ENDED_ATTEMPT_STATUSES)


def _not_in(column: InstrumentedAttribute[Any], members: Collection[StrEnum]) -> ColumnElement[bool]:
    values = sorted(members)
    return column.not_in(bindparam(None, values, expanding=True, literal_execute=True))


def insert_into(session: Session, row: type[Base], values: Mapping[str, Any]) -> sqlite.Insert | postgresql.Insert:
    """Return an insert that can say what happens on a conflict; both dialects spell it alike."""
    table = cast("Table", row.__table__)
    if session.get_bind().dialect.name == "postgresql":
        return postgresql.insert(table).values(**values)
    return sqlite.insert(table).values(**values)


def changed(result: object) -> int:
    """Return the number of rows that an update or delete changed; drivers don't tell it of an insert."""
    return cast("CursorResult[Any]", result).rowcount
