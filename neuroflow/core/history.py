"""Read everything that ever happened, piece by piece: on SQLite a long read would keep writers waiting."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeVar

from sqlalchemy import Select, func, select
from sqlalchemy.orm import InstrumentedAttribute

from neuroflow.core.store import Store
from neuroflow.domain.history import AttemptFact, History, RunFact, SessionFact
from neuroflow.models import AttemptRow, RunRow, SessionRow, SubjectRow

LONGEST_TEXT = 400  # characters of a reason or a message
_ROWS_PER_READ = 20_000
_F = TypeVar("_F")


class HistoryState(Store):
    """Read sessions, runs and attempts as a report needs them."""

    def history(self, *, subjects: Collection[str] = ()) -> History:
        """Return every session, run and attempt, or those of some subjects, by label.

        It is read in several transactions: a run that was opened meanwhile may be without its attempt.
        """
        return History(
            sessions=self._all(_of(_sessions(), subjects), SessionRow.id, make=SessionFact),
            runs=self._all(_of(_runs(), subjects), RunRow.id, make=RunFact),
            attempts=self._all(_of(_attempts(), subjects), AttemptRow.id, make=AttemptFact),
        )

    def _all(self, query: Select[Any], key: InstrumentedAttribute[int], *, make: Callable[..., _F]) -> tuple[_F, ...]:
        found: list[_F] = []
        last = 0
        while True:
            piece = query.where(key > last).order_by(key).limit(_ROWS_PER_READ)
            with self._read() as session:
                rows = session.connection().execute(piece).all()  # not through the ORM, which takes half as long again
            if not rows:
                return tuple(found)
            found += [make(*row) for row in rows]
            last = rows[-1][0]


def _of(query: Select[Any], subjects: Collection[str]) -> Select[Any]:
    return query.where(SubjectRow.label.in_(sorted(subjects))) if subjects else query


def _select(*columns: Any) -> Select[Any]:
    # SQLAlchemy types a list of up to ten columns by each of them.
    return select(*columns)


def _cut(column: InstrumentedAttribute[str]) -> Any:
    return func.substr(column, 1, LONGEST_TEXT)


def _sessions() -> Select[Any]:
    return _select(
        SessionRow.id,
        SessionRow.subject_id,
        SubjectRow.label,
        SessionRow.label,
        SessionRow.status,
        _cut(SessionRow.status_reason),
    ).join(SubjectRow, SubjectRow.id == SessionRow.subject_id)


def _runs() -> Select[Any]:
    return _select(
        RunRow.id,
        RunRow.pipeline,
        RunRow.subject_id,
        RunRow.session_id,
        RunRow.status,
        RunRow.superseded,
        _cut(RunRow.resolution),
        RunRow.attempts,
        RunRow.failure,
        RunRow.signature,
        _cut(RunRow.reason),
        _cut(RunRow.error_message),
        RunRow.output_path,
        RunRow.updated_at,
        RunRow.started_at,
        RunRow.ended_at,
    ).join(SubjectRow, SubjectRow.id == RunRow.subject_id)


def _attempts() -> Select[Any]:
    return (
        _select(
            AttemptRow.id,
            AttemptRow.run_id,
            AttemptRow.number,
            AttemptRow.status,
            AttemptRow.where,
            AttemptRow.folder,
            AttemptRow.job_id,
            AttemptRow.host,
            AttemptRow.failure,
            AttemptRow.signature,
            _cut(AttemptRow.message),
            AttemptRow.exit_code,
            AttemptRow.max_rss_mb,
            AttemptRow.resources,
            AttemptRow.submitted_at,
            AttemptRow.started_at,
            AttemptRow.ended_at,
            AttemptRow.image_record_id,
            AttemptRow.image_version,
        )
        .join(RunRow, RunRow.id == AttemptRow.run_id)
        .join(SubjectRow, SubjectRow.id == RunRow.subject_id)
    )
