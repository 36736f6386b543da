"""Subjects and sessions: what was found on disk, and what people decided about it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from neuroflow.core import records
from neuroflow.core.audit import Audit, write_audits
from neuroflow.core.scan import plan_scan
from neuroflow.core.scan_store import read_stored, write_changes
from neuroflow.core.store import DEFAULT_ACTOR, Store, alone, in_chunks
from neuroflow.domain import (
    FoundSession,
    KnownSession,
    ScanOutcome,
    SessionRecord,
    SessionStatus,
    SubjectRecord,
)
from neuroflow.domain.near import one_slip_apart, zeros_apart
from neuroflow.errors import NotFoundError
from neuroflow.models import SessionRow, SubjectRow

_LIST_HINT = "`neuroflow subject list` lists what there is"
_MOST_GUESSES = 3


class SessionState(Store):
    """Read and write subjects and sessions."""

    def known_sessions(self) -> dict[str, KnownSession]:
        """Return what is remembered of each session folder, by path."""
        with self._read() as session:
            rows = session.execute(records.known_sessions().where(SessionRow.path != "").order_by(SessionRow.id)).all()
        return {known.path: known for known in (KnownSession(*row) for row in rows)}

    def record_scan(self, found: Sequence[FoundSession], *, settle_minutes: float) -> ScanOutcome:
        """Write what a scan found: new sessions, changed files, and which sessions may start.

        A session whose files have been the same for `settle_minutes` becomes ready, or invalid with what it lacks;
        an excluded one stays excluded. Of two folders of one session the first known is kept, and the other named
        among its problems.
        """
        with self._write() as (session, now):
            alone(session, "scan")
            plan = plan_scan(found, read_stored(session), now=now, settle_minutes=settle_minutes)
            write_changes(session, plan.changes, now)
        return plan.outcome()

    def list_subjects(self) -> list[SubjectRecord]:
        """Return all subjects by label."""
        with self._read() as session:
            rows = session.execute(records.subjects().order_by(SubjectRow.label)).all()
        return [SubjectRecord(*row) for row in rows]

    def count_sessions(self) -> dict[str, dict[SessionStatus, int]]:
        """Return how many sessions of each subject, by label, stand where."""
        query = (
            select(SubjectRow.label, SessionRow.status, func.count())
            .join(SessionRow, SessionRow.subject_id == SubjectRow.id)
            .group_by(SubjectRow.label, SessionRow.status)
        )
        found: dict[str, dict[SessionStatus, int]] = {}
        with self._read() as session:
            for label, status, count in session.execute(query):
                found.setdefault(label, {})[status] = count
        return found

    def get_subject(self, label: str) -> SubjectRecord:
        """Return a subject by label.

        Raises:
            NotFoundError: when there is none.
        """
        with self._read() as session:
            row = session.execute(records.subjects().where(SubjectRow.label == label)).first()
            near = _near(session, label) if row is None else []
            are_any = row is not None or session.scalar(select(SubjectRow.id).limit(1)) is not None
        if row is None:
            guess = f". Did you mean {' or '.join(repr(one) for one in near)}?" if near else ""
            hint = _LIST_HINT if are_any else "none was found yet: `neuroflow scan` looks for them"
            raise NotFoundError(f"there is no subject '{label}'{guess}", hint=hint)
        return SubjectRecord(*row)

    def list_sessions(
        self, *, subject: str | None = None, status: SessionStatus | None = None, limit: int | None = None
    ) -> list[SessionRecord]:
        """Return sessions by subject and session label, of one subject or status, and the first ones, where given."""
        query = records.sessions().order_by(SubjectRow.label, SessionRow.label).limit(limit)
        if subject is not None:
            query = query.where(SubjectRow.label == subject)
        if status is not None:
            query = query.where(SessionRow.status == status)
        with self._read() as session:
            rows = session.execute(query).all()
        return [SessionRecord(*row) for row in rows]

    def get_session(self, session_id: int) -> SessionRecord:
        """Return a session by id.

        Raises:
            NotFoundError: when there is none.
        """
        with self._read() as session:
            row = session.execute(records.sessions().where(SessionRow.id == session_id)).first()
        if row is None:
            raise NotFoundError(f"there is no session with the id {session_id}", hint=_LIST_HINT)
        return SessionRecord(*row)

    def find_session(self, subject: str, session: str) -> SessionRecord | None:
        """Return a session by its labels, None when there is none."""
        query = records.sessions().where(SubjectRow.label == subject, SessionRow.label == session)
        with self._read() as transaction:
            row = transaction.execute(query).first()
        return None if row is None else SessionRecord(*row)

    def set_session_excluded(
        self, session_id: int, excluded: bool, *, reason: str, actor: str = DEFAULT_ACTOR
    ) -> SessionRecord:
        """Take a session out, or back in: the next scan then decides how it stands.

        Raises:
            NotFoundError: when there is no such session.
        """
        self.set_sessions_excluded([session_id], excluded, reason=reason, actor=actor)
        return self.get_session(session_id)

    def set_sessions_excluded(
        self, session_ids: Collection[int], excluded: bool, *, reason: str, actor: str = DEFAULT_ACTOR
    ) -> tuple[int, ...]:
        """Take sessions out, or back in, in one transaction; return the ids of those that were not so before.

        Raises:
            NotFoundError: when there is no such session; nothing has changed then.
        """
        after = SessionStatus.EXCLUDED if excluded else SessionStatus.SETTLING
        event = "session.excluded" if excluded else "session.included"
        with self._write() as (session, now):
            alone(session, "scan")  # a scan under way has read the status already, and would put it back
            before = _statuses(session, session_ids)
            changing = [one for one in sorted(before) if excluded != (before[one] is SessionStatus.EXCLUDED)]
            values = {"status": after, "status_reason": reason, "updated_at": now}
            for session_id in changing:
                session.execute(update(SessionRow).where(SessionRow.id == session_id).values(values))
            entries = [Audit(now, actor, event, "session", one, before[one], after, reason) for one in changing]
            write_audits(session, entries)
        return tuple(changing)


def _statuses(session: Session, session_ids: Collection[int]) -> dict[int, SessionStatus]:
    found: dict[int, SessionStatus] = {}
    for ids in in_chunks(sorted(set(session_ids))):
        rows = session.execute(select(SessionRow.id, SessionRow.status).where(SessionRow.id.in_(ids)))
        found |= {row.id: row.status for row in rows}
    missing = sorted(set(session_ids) - found.keys())
    if missing:
        raise NotFoundError(f"there is no session with the id {missing[0]}", hint=_LIST_HINT)
    return found


def _near(session: Session, label: str) -> list[str]:
    """Return the labels of subjects that a person may have meant; each is looked up by its index, none are walked."""
    for likely in (zeros_apart(label), one_slip_apart(label)):
        found: list[str] = []
        for names in in_chunks(sorted(likely)):
            query = select(SubjectRow.label).where(SubjectRow.label.in_(names))
            found += session.scalars(query.order_by(SubjectRow.label))
        if found:
            return found[:_MOST_GUESSES]
    return list(session.scalars(select(SubjectRow.label).where(func.lower(SubjectRow.label) == label.lower())))
