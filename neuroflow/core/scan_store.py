"""Read what a scan is compared with, and write what it changed, in a few statements however many sessions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from neuroflow.core.audit import Audit, write_audits
from neuroflow.core.scan import Change, Key, Stored
from neuroflow.core.store import DEFAULT_ACTOR
from neuroflow.domain import FoundSession
from neuroflow.models import SessionRow, SubjectRow


def read_stored(session: Session) -> list[Stored]:
    """Return every session without its series."""
    query = select(
        SessionRow.id,
        SubjectRow.label,
        SessionRow.label.label("session_label"),
        SessionRow.path,
        SessionRow.status,
        SessionRow.status_reason,
        SessionRow.fingerprint,
        SessionRow.fingerprint_since,
        SessionRow.problems,
    ).join(SubjectRow, SubjectRow.id == SessionRow.subject_id)
    return [Stored(*row) for row in session.execute(query).all()]


def write_changes(session: Session, changes: Sequence[Change], now: datetime) -> None:
    """Insert new sessions with their subjects, update changed ones, and write the audit rows."""
    new = [(change, change.found) for change in changes if change.before is None and change.found is not None]
    ids = _insert(session, new, now)
    _update(session, [change for change in changes if change.before is not None], now)
    write_audits(session, [_audit(change, ids, now) for change in changes])


def _insert(session: Session, new: Sequence[tuple[Change, FoundSession]], now: datetime) -> dict[Key, int]:
    if not new:
        return {}
    subjects = _subject_ids(session, {found.subject for _, found in new}, now)
    rows = [
        {
            **_status_values(change, now),
            **_content_values(found),
            "subject_id": subjects[found.subject],
            "label": found.session,
            "created_at": now,
        }
        for change, found in new
    ]
    statement = insert(SessionRow).returning(SessionRow.subject_id, SessionRow.label, SessionRow.id)
    labels = {subject_id: label for label, subject_id in subjects.items()}
    return {(labels[row.subject_id], row.label): row.id for row in session.execute(statement, rows).all()}


def _subject_ids(session: Session, labels: set[str], now: datetime) -> dict[str, int]:
    known = {row.label: row.id for row in session.execute(select(SubjectRow.label, SubjectRow.id)).all()}
    missing = sorted(labels - known.keys())
    if missing:
        statement = insert(SubjectRow).returning(SubjectRow.label, SubjectRow.id)
        rows = [{"label": label, "created_at": now} for label in missing]
        known |= {row.label: row.id for row in session.execute(statement, rows).all()}
    return known


def _update(session: Session, changes: Sequence[Change], now: datetime) -> None:
    whole = []
    status_only = []
    for change in changes:
        if change.before is None:
            continue
        values = {"id": change.before.id, **_status_values(change, now)}
        if change.found is None:
            status_only.append(values)
        else:
            whole.append({**values, **_content_values(change.found)})
    for rows in (whole, status_only):
        if rows:
            session.execute(update(SessionRow), rows)


def _status_values(change: Change, now: datetime) -> dict[str, Any]:
    return {
        "path": change.path,
        "status": change.status,
        "status_reason": change.reason,
        "fingerprint_since": change.since,
        "updated_at": now,
    }


def _content_values(found: FoundSession) -> dict[str, Any]:
    return {
        "fingerprint": found.fingerprint,
        "files": found.files,
        "bytes": found.bytes,
        "newest_mtime": found.newest_mtime,
        "series": found.series,
        "problems": found.problems,
    }


def _audit(change: Change, ids: dict[Key, int], now: datetime) -> Audit:
    before, found = change.before, change.found
    session_id = before.id if before is not None else None
    details: dict[str, object] = {"path": change.path}
    if found is not None:
        session_id = ids.get((found.subject, found.session), session_id)
        details |= {"fingerprint": found.fingerprint, "files": found.files, "problems": list(found.problems)}
    if before is None:
        event = "session.found"
    elif change.has_new_content:
        event = "session.changed"
    else:
        event = f"session.{change.status}"
    return Audit(
        now,
        DEFAULT_ACTOR,
        event,
        "session",
        session_id,
        before.status.value if before is not None else None,
        change.status.value,
        change.reason,
        details,
    )
