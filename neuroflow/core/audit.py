"""Audit rows: written in the transaction of the change that they tell of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from sqlalchemy import Table, insert
from sqlalchemy.orm import Session

from neuroflow.core.notice_rows import write_notices
from neuroflow.core.store import DEFAULT_ACTOR
from neuroflow.models import AuditRow


@dataclass(frozen=True)
class Audit:
    """One change: of what, from where to where, by whom, and why."""

    at: datetime
    actor: str
    event: str
    entity: str
    entity_id: int | None
    before: str | None
    after: str | None
    reason: str
    details: Mapping[str, object] = field(default_factory=dict)


def write_audit(session: Session, *entries: Audit) -> None:
    """Add audit rows, in order."""
    write_audits(session, entries)


def write_audits(session: Session, entries: Sequence[Audit]) -> None:
    """Add many audit rows at once, in order, and the notices of what people may want to be told."""
    if entries:
        # By the table, not the class: the session has nothing to keep in step with a new row.
        session.connection().execute(insert(cast("Table", AuditRow.__table__)), [vars(entry) for entry in entries])
        write_notices(session, entries, own_actor=DEFAULT_ACTOR)
