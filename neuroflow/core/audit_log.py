"""Read the audit log: of a subject, a session, a run, a workflow run, or all of it, newest first within a limit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import Session

from neuroflow.core import records
from neuroflow.core.store import DEFAULT_ACTOR, IDS_PER_STATEMENT, Store
from neuroflow.domain import AuditRecord
from neuroflow.models import AttemptRow, AuditRow, RunRow, SessionRow

# Several machines write, and their clocks differ a little.
_SLACK_ROWS = 1000
ROWS_PER_PAGE = 2000


@dataclass(frozen=True)
class AuditFilter:
    """Which rows are asked for; what is None does not matter."""

    subject_id: int | None = None
    session_id: int | None = None
    run_ids: tuple[int, ...] = ()  # and their attempts
    workflow_run_id: int | None = None
    opened_by: int | None = None  # of the runs that this workflow run opened
    entity: str | None = None
    actor: str | None = None
    by_people: bool = False  # without what the program itself did
    event: str | None = None  # the event, or how it begins: `run.`
    since: datetime | None = None
    limit: int = 100

    @property
    def is_about_one(self) -> bool:
        """Whether it asks for the rows of one subject, session, run or workflow run."""
        one = (self.subject_id, self.session_id, self.workflow_run_id, self.opened_by)
        return bool(self.run_ids) or any(value is not None for value in one)


class AuditLogState(Store):
    """Read audit rows by what they are about."""

    def find_audit(self, wanted: AuditFilter) -> list[AuditRecord]:
        """Return the newest audit rows that fit, oldest first."""
        with self._read() as session:
            conditions = _conditions(session, wanted)
            if conditions is None:
                return []
            query = records.audit().where(*conditions).order_by(AuditRow.id.desc()).limit(wanted.limit)
            rows = session.execute(query).all()
        return [AuditRecord(*row) for row in reversed(rows)]

    def audit_pages(self, wanted: AuditFilter, *, size: int = ROWS_PER_PAGE) -> Iterator[list[AuditRecord]]:
        """Return the newest audit rows that fit, oldest first, in pages: no memory has to hold all of them."""
        # What is about one thing is found by its entities' index, and is not long.
        if wanted.limit <= size or wanted.is_about_one:
            if found := self.find_audit(wanted):
                yield found
            return
        with self._read() as session:
            conditions = _conditions(session, wanted) or []
            chosen = select(AuditRow.id).where(*conditions).order_by(AuditRow.id.desc())
            newest = session.scalar(chosen.limit(1)) or 0
            first = session.scalar(chosen.offset(wanted.limit - 1).limit(1)) or 0
        query = records.audit().where(*conditions, AuditRow.id <= newest).order_by(AuditRow.id).limit(size)
        last = first - 1
        while page := self._audit(query.where(AuditRow.id > last)):
            yield page
            last = page[-1].id

    def runs_opened_by(self, workflow_run_id: int) -> list[int]:
        """Return the ids of the runs that a workflow run opened."""
        query = select(RunRow.id).where(RunRow.workflow_run_id == workflow_run_id).order_by(RunRow.id)
        with self._read() as session:
            return list(session.scalars(query))

    def _audit(self, query: Select[Any]) -> list[AuditRecord]:
        with self._read() as session:
            return [AuditRecord(*row) for row in session.execute(query)]


def _conditions(session: Session, wanted: AuditFilter) -> list[ColumnElement[bool]] | None:
    """Return what rows have to fulfil; None where no row can."""
    found: list[ColumnElement[bool]] = []
    about = _about(session, wanted)
    if about is not None:
        if not about:
            return None
        found.append(or_(*about))
    if wanted.opened_by is not None:
        opened = select(RunRow.id).where(RunRow.workflow_run_id == wanted.opened_by)
        found += [AuditRow.entity == "run", AuditRow.entity_id.in_(opened)]
    if wanted.entity is not None:
        found.append(AuditRow.entity == wanted.entity)
    if wanted.actor is not None:
        found.append(AuditRow.actor == wanted.actor)
    if wanted.by_people:
        found.append(AuditRow.actor != DEFAULT_ACTOR)
    if wanted.event is not None:
        found.append(AuditRow.event.startswith(wanted.event, autoescape=True))
    if wanted.since is not None:
        found.append(AuditRow.at >= wanted.since)
        if about is None:
            found.append(AuditRow.id >= _first_since(session, wanted.since))
    return found


def _about(session: Session, wanted: AuditFilter) -> list[ColumnElement[bool]] | None:
    """Return one condition for each kind of entity, with the ids spelled out: the index on both then serves them.

    A database that is asked for ids in a query within an OR reads the whole table instead.
    """
    ids: dict[str, list[int]] = {}
    if wanted.workflow_run_id is not None:
        ids["workflow_run"] = [wanted.workflow_run_id]
    if wanted.run_ids:
        ids["run"] = list(wanted.run_ids)
    elif wanted.session_id is not None:
        ids["session"] = [wanted.session_id]
        ids["run"] = list(session.scalars(select(RunRow.id).where(RunRow.session_id == wanted.session_id)))
    elif wanted.subject_id is not None:
        ids["subject"] = [wanted.subject_id]
        ids["session"] = list(session.scalars(select(SessionRow.id).where(SessionRow.subject_id == wanted.subject_id)))
        ids["run"] = list(session.scalars(select(RunRow.id).where(RunRow.subject_id == wanted.subject_id)))
    elif not ids:
        return None
    ids["attempt"] = _attempts(session, ids.get("run", ()))
    return [
        and_(AuditRow.entity == entity, AuditRow.entity_id.in_(some[start : start + IDS_PER_STATEMENT]))
        for entity, some in ids.items()
        for start in range(0, len(some), IDS_PER_STATEMENT)
    ]


def _attempts(session: Session, run_ids: Sequence[int]) -> list[int]:
    found: list[int] = []
    for start in range(0, len(run_ids), IDS_PER_STATEMENT):
        some = run_ids[start : start + IDS_PER_STATEMENT]
        found += session.scalars(select(AttemptRow.id).where(AttemptRow.run_id.in_(some)))
    return found


def _first_since(session: Session, since: datetime) -> int:
    """Return an id before which all rows are older: rows are only ever added, so that ids follow time.

    Halving takes some twenty looks at the primary key; without an index on the time, a search would read every row.
    """
    low, high = (session.scalar(select(part)) or 0 for part in (func.min(AuditRow.id), func.max(AuditRow.id)))
    while low < high:
        middle = (low + high) // 2
        row = session.execute(
            select(AuditRow.id, AuditRow.at).where(AuditRow.id >= middle).order_by(AuditRow.id).limit(1)
        ).first()
        if row is None or row.at >= since:
            high = middle
        else:
            low = row.id + 1
    return max(low - _SLACK_ROWS, 0)
