"""Glance: what a shell's completion and a greeting need of the database, read by its driver alone.

Loading SQLAlchemy takes longer than all of these questions, and a person waits for the answer while typing.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_BUSY_SECONDS = 0.5
_CONNECT_SECONDS = 2  # the least that libpq waits
_MAX_DIGITS = 12
_SQLITE = "sqlite:///"


@dataclass(frozen=True)
class RunLine:
    """A run in one line."""

    id: int
    pipeline: str
    scope: str
    status: str


class Connection(Protocol):
    """What both drivers' connections can do."""

    def execute(self, query: str, values: Sequence[object] = ..., /) -> Cursor: ...

    def close(self) -> None: ...


class Cursor(Protocol):
    """What both drivers' cursors can do."""

    def fetchall(self) -> list[tuple[object, ...]]: ...


class Glance:
    """Reads few rows of a database, and changes nothing."""

    def __init__(self, connection: Connection, placeholder: str) -> None:
        self._connection = connection
        self._placeholder = placeholder

    def subjects(self, prefix: str, *, limit: int) -> list[str]:
        """Return the labels that begin with a prefix; of too many, longer beginnings of all of them."""
        return self._labels("subjects", prefix, limit=limit)

    def sessions(self, prefix: str, *, subject: str | None, limit: int) -> list[str]:
        """Return the labels of a subject's sessions, or of all, that begin with a prefix."""
        if subject is None:
            return self._labels("sessions", prefix, limit=limit)
        return self._labels("sessions", prefix, limit=limit, subject=subject)

    def runs(self, digits: str, *, limit: int, status: str | None = None) -> list[RunLine]:
        """Return the newest runs, of one status if that is given, whose number begins with these digits."""
        found: list[RunLine] = []
        for first, last in _ranges(digits):
            found += self._runs_between(first, last, limit=limit - len(found), status=status)
            if len(found) >= limit:
                break
        return found

    def signatures(self, prefix: str, *, limit: int) -> list[str]:
        """Return the signatures, which begin so, of the runs that failed and that nobody has settled."""
        rows = self._ask(
            "SELECT DISTINCT signature FROM pipeline_runs WHERE status = 'failed' AND NOT superseded "
            "AND resolution = '' AND signature LIKE ? ORDER BY signature LIMIT ?",
            (f"{prefix}%", limit),
        )
        return [str(signature) for (signature,) in rows if signature]

    def counts(self, table: str) -> dict[str, int]:
        """Return how many rows of `sessions` or `pipeline_runs` have each status; superseded runs don't count."""
        where = " WHERE NOT superseded" if table == "pipeline_runs" else ""
        rows = self._ask(f"SELECT status, count(*) FROM {table}{where} GROUP BY status")  # noqa: S608
        return {str(status): int(str(count)) for status, count in rows}

    def _runs_between(self, first: int, last: int, *, limit: int, status: str | None) -> list[RunLine]:
        narrower, values = ("", ()) if status is None else ("AND r.status = ? ", (status,))
        rows = self._ask(
            "SELECT r.id, r.pipeline, u.label, s.label, r.status FROM pipeline_runs r "  # noqa: S608
            "JOIN subjects u ON u.id = r.subject_id LEFT JOIN sessions s ON s.id = r.session_id "
            f"WHERE r.id BETWEEN ? AND ? {narrower}ORDER BY r.id DESC LIMIT ?",
            (first, last, *values, limit),
        )
        return [
            RunLine(int(str(number)), str(pipeline), _scope(str(subject), session), str(status))
            for number, pipeline, subject, session, status in rows
        ]

    def _labels(self, table: str, prefix: str, *, limit: int, subject: str | None = None) -> list[str]:
        where = "label LIKE ?"
        values: tuple[object, ...] = (f"{prefix}%",)
        if subject is not None:
            where += " AND subject_id = (SELECT id FROM subjects WHERE label = ?)"
            values = (*values, subject)
        query = f"SELECT DISTINCT label FROM {table} WHERE {where} ORDER BY label LIMIT ?"  # noqa: S608
        found = [str(label) for (label,) in self._ask(query, (*values, limit + 1)) if str(label).startswith(prefix)]
        if len(found) <= limit:
            return found
        # A shell inserts what all candidates share: the first hundred of many share more than all of them do.
        query = f"SELECT min(label), max(label) FROM {table} WHERE {where}"  # noqa: S608
        ((lowest, highest),) = self._ask(query, values)
        pairs = zip(str(lowest), str(highest), strict=False)
        length = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
        query = f"SELECT DISTINCT substr(label, 1, ?) FROM {table} WHERE {where} ORDER BY 1"  # noqa: S608
        return [str(part) for (part,) in self._ask(query, (length + 1, *values))]

    def _ask(self, query: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
        return self._connection.execute(query.replace("?", self._placeholder), values).fetchall()


def _scope(subject: str, session: object) -> str:
    return f"sub-{subject}" if session is None else f"sub-{subject}/ses-{session}"


def _ranges(digits: str) -> Iterator[tuple[int, int]]:
    """Return the ranges of numbers that begin with these digits, the highest first."""
    if digits == "":
        yield 1, 10**_MAX_DIGITS
        return
    if not (digits.isascii() and digits.isdigit()) or digits.startswith("0"):
        return
    for more in range(_MAX_DIGITS - len(digits), -1, -1):
        yield int(digits) * 10**more, (int(digits) + 1) * 10**more - 1


@contextmanager
def glance(url: str) -> Iterator[Glance]:
    """Open the database of an SQLAlchemy URL for a glance.

    Raises:
        OSError: when it isn't there, has no tables, or does not answer.
    """
    try:
        if url.startswith(_SQLITE):
            with closing(_open_sqlite(Path(url.removeprefix(_SQLITE)))) as file:
                yield Glance(file, "?")
            return
        import psycopg
    except sqlite3.Error as error:
        raise OSError(str(error)) from error
    try:
        address = url.replace("postgresql+psycopg://", "postgresql://", 1)
        with psycopg.connect(address, connect_timeout=_CONNECT_SECONDS, autocommit=True) as server:
            server.read_only = True
            yield Glance(server, "%s")
    except psycopg.Error as error:
        raise OSError(str(error)) from error


def _open_sqlite(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS)
