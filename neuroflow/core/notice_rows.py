"""Which changes are worth a notice: written with the audit row, in the transaction of the change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Table, insert
from sqlalchemy.orm import Session

from neuroflow.domain import NoticeKind
from neuroflow.models import NoticeRow

if TYPE_CHECKING:
    from neuroflow.core.audit import Audit

LONGEST_TEXT = 2_000
_KINDS = {
    "run.failed": NoticeKind.RUN_FAILED,
    "pipeline.held": NoticeKind.PIPELINE_HELD,
    "workflow_run.completed": NoticeKind.WORKFLOW_COMPLETED,
    "workflow_run.failed": NoticeKind.WORKFLOW_FAILED,
}


def write_notices(session: Session, entries: Sequence[Audit], *, own_actor: str) -> None:
    """Add a notice for each change that people may want to be told of.

    Args:
        own_actor: whose changes nobody has made by hand; what a person does, that person knows.
    """
    values = [_values(entry) for entry in entries if entry.event in _KINDS and entry.actor == own_actor]
    if values:
        session.connection().execute(insert(cast("Table", NoticeRow.__table__)), values)


def _values(entry: Audit) -> dict[str, Any]:
    return {
        "at": entry.at,
        "kind": _KINDS[entry.event],
        "entity_id": entry.entity_id,
        "pipeline": str(entry.after) if entry.entity == "pipeline" else "",
        "text": entry.reason[:LONGEST_TEXT],
        "message_id": None,
    }
