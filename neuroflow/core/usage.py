"""What attempts used, for right-sizing: few columns of the newest attempts that tell anything."""

from __future__ import annotations

import json
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Text, and_, cast, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from neuroflow.core.store import Store
from neuroflow.domain import AttemptStatus, FailureClass, Level, Resources
from neuroflow.domain.usage import UsedAttempt
from neuroflow.models import AttemptRow, RunRow

# What a run needs is told by its success, or by what it was stopped for.
_STOPPED_FOR = (FailureClass.OUT_OF_MEMORY, FailureClass.TIMEOUT)
_COLUMNS = (
    AttemptRow.run_id,
    AttemptRow.failure,
    cast(AttemptRow.resources, Text).label("request"),  # few different ones: each is read once
    AttemptRow.max_rss_mb,
    AttemptRow.cpu_seconds,
    AttemptRow.elapsed_seconds,
    AttemptRow.image_version,
    RunRow.inputs_key,
    AttemptRow.started_at,
    AttemptRow.ended_at,
)


class UsageState(Store):
    """Read what attempts used."""

    def used_attempts(
        self, pipeline: str, *, level: Level, since: datetime | None = None, limit: int
    ) -> list[UsedAttempt]:
        """Return a pipeline's newest attempts that succeeded, or were stopped for want of memory or time."""
        tells = or_(
            AttemptRow.status == AttemptStatus.SUCCEEDED,
            and_(AttemptRow.status == AttemptStatus.FAILED, AttemptRow.failure.in_(_STOPPED_FOR)),
        )
        query = (
            select(*_COLUMNS)
            .join(RunRow, RunRow.id == AttemptRow.run_id)
            .where(_unindexed(RunRow.pipeline) == pipeline, RunRow.level == level, tells)
            .order_by(AttemptRow.id.desc())
            .limit(limit)
        )
        if since is not None:
            query = query.where(AttemptRow.ended_at >= since)
        with self._read() as session:
            return [_used(row) for row in session.connection().execute(query).all()]


def _unindexed(column: InstrumentedAttribute[str]) -> ColumnElement[str]:
    """Keep an index from being used.

    With it SQLite looks up all runs of a pipeline before it sorts, which takes fifteen times as long as walking back
    from the newest attempt until there are enough.
    """
    return func.coalesce(column, "")


def _used(row: Any) -> UsedAttempt:
    run_id, failure, request, memory, cpu, elapsed, version, key, started, ended = row
    if elapsed is None and memory is not None and started is not None and ended is not None:
        elapsed = max((ended - started).total_seconds(), 0.0)  # of before it was kept
    day = "" if ended is None else f"{ended:%Y-%m-%d}"
    return UsedAttempt(run_id, failure, _request(request), memory, cpu, elapsed, version, key, day)


@cache
def _request(text: str) -> Resources:
    return Resources(**json.loads(text))
