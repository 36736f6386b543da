"""Subjects and sessions: what was found on disk, and what people decided about it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select, update

from neuroflow.core import records
from neuroflow.core.audit import Audit, write_audit
from neuroflow.core.scan import plan_scan
from neuroflow.core.scan_store import read_stored, write_changes
from neuroflow.core.store import DEFAULT_ACTOR, Store, alone
from neuroflow.domain import (
    FoundSession,
    KnownSession,
    ScanOutcome,
    SessionRecord,
    SessionStatus,
    SubjectRecord,
)
from neuroflow.errors import NotFoundError
from neuroflow.models import SessionRow, SubjectRow

_LIST_HINT = "`neuroflow status` lists what there is"


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

    def get_subject(self, label: str) -> SubjectRecord:
        """Return a subject by label.

        Raises:
            NotFoundError: when there is none.
        """
        with self._read() as session:
            row = session.execute(records.subjects().where(SubjectRow.label == label)).first()
        if row is None:
            raise NotFoundError(f"there is no subject '{label}'", hint=_LIST_HINT)
        return SubjectRecord(*row)

    def list_sessions(self, *, subject: str | None = None, status: SessionStatus | None = None) -> list[SessionRecord]:
        """Return sessions by subject and session label, of one subject or status where given."""
        query = records.sessions().order_by(SubjectRow.label, SessionRow.label)
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
        with self._write() as (session, now):
            alone(session, "scan")  # a scan under way has read the status already, and would put it back
            query = select(SessionRow.status).where(SessionRow.id == session_id)
            before = session.scalar(query)
            if before is None:
                raise NotFoundError(f"there is no session with the id {session_id}", hint=_LIST_HINT)
            if excluded == (before is SessionStatus.EXCLUDED):
                after = before
            else:
                after = SessionStatus.EXCLUDED if excluded else SessionStatus.SETTLING
                values = {"status": after, "status_reason": reason, "updated_at": now}
                session.execute(update(SessionRow).where(SessionRow.id == session_id).values(values))
                event = "session.excluded" if excluded else "session.included"
                write_audit(session, Audit(now, actor, event, "session", session_id, before, after, reason))
            row = session.execute(records.sessions().where(SessionRow.id == session_id)).one()
        return SessionRecord(*row)
