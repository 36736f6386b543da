"""Holds: pipelines of which no run is started until a person lets them go on."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from neuroflow.core.audit import Audit, write_audit
from neuroflow.core.store import DEFAULT_ACTOR, Store, alone, insert_into
from neuroflow.domain import PipelineHold
from neuroflow.models import ServiceValueRow

HOLD_PREFIX = "hold:"


class HoldState(Store):
    """Hold pipelines, and let them go on."""

    def pipeline_hold(self, pipeline: str) -> PipelineHold | None:
        """Return whether a pipeline is held, since when and why; None when it never was."""
        with self._read() as session:
            return _read(session, pipeline)

    def hold_pipeline(self, pipeline: str, *, reason: str, actor: str = DEFAULT_ACTOR) -> bool:
        """Hold a pipeline; False when it was held already."""
        return self._set(pipeline, True, reason=reason, actor=actor)

    def release_pipeline(self, pipeline: str, *, reason: str, actor: str = DEFAULT_ACTOR) -> bool:
        """Let a held pipeline go on; False when it was not held."""
        return self._set(pipeline, False, reason=reason, actor=actor)

    def hold_pipeline_as_seen(self, pipeline: str, *, seen: PipelineHold | None, reason: str) -> bool:
        """Hold a pipeline unless it was held, or released, since `seen` was read."""
        return self._set(pipeline, True, reason=reason, actor=DEFAULT_ACTOR, seen=(seen,))

    def _set(
        self, pipeline: str, held: bool, *, reason: str, actor: str, seen: tuple[PipelineHold | None, ...] = ()
    ) -> bool:
        with self._write() as (session, now):
            alone(session, f"{HOLD_PREFIX}{pipeline}")
            before = _read(session, pipeline)
            if (before is not None and before.held) is held or (seen and before != seen[0]):
                return False
            write_hold(session, pipeline, {"held": held, "reason": reason}, now)
            event = "pipeline.held" if held else "pipeline.released"
            write_audit(session, Audit(now, actor, event, "pipeline", None, None, pipeline, reason))
            return True


def _read(session: Session, pipeline: str) -> PipelineHold | None:
    query = select(ServiceValueRow.value, ServiceValueRow.updated_at)
    row = session.execute(query.where(ServiceValueRow.key == HOLD_PREFIX + pipeline)).first()
    if row is None:
        return None
    return PipelineHold(bool(row.value.get("held")), str(row.value.get("reason", "")), row.updated_at)


def write_hold(session: Session, pipeline: str, value: dict[str, Any], now: datetime) -> None:
    """Store whether a pipeline is held, inside the caller's transaction."""
    changes = {"value": value, "updated_at": now}
    statement = insert_into(session, ServiceValueRow, {"key": HOLD_PREFIX + pipeline, **changes})
    session.execute(statement.on_conflict_do_update(index_elements=["key"], set_=changes))
