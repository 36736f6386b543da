"""What ended on which day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from neuroflow.domain import RunStatus
from neuroflow.domain.history import RunFact

_COUNTED = {RunStatus.COMPLETED: "completed", RunStatus.FAILED: "failed"}


@dataclass(frozen=True)
class Flow:
    """Runs that ended, per day (UTC), from the first such day to the last."""

    first: date | None
    completed: dict[str, tuple[int, ...]]  # by pipeline
    failed: dict[str, tuple[int, ...]]


def flow_of(runs: Iterable[RunFact], *, pipelines: Iterable[str], since: datetime | None) -> Flow:
    """Count the runs that ended since then."""
    counts: Counter[tuple[str, str, date]] = Counter()
    for run in runs:
        kind = _COUNTED.get(run.status)
        if kind is not None and run.ended_at is not None and (since is None or run.ended_at >= since):
            # A node's clock may be years ahead; a run has not ended after its row was last changed.
            ended_at = min(run.ended_at, run.updated_at)
            counts[kind, run.pipeline, ended_at.astimezone(UTC).date()] += 1
    if not counts:
        return Flow(None, {}, {})
    days = [key[2] for key in counts]
    first = min(days)
    span = [first + timedelta(days=number) for number in range((max(days) - first).days + 1)]
    names = tuple(pipelines)

    def per_day(kind: str) -> dict[str, tuple[int, ...]]:
        return {name: tuple(counts[kind, name, day] for day in span) for name in names}

    return Flow(first, per_day("completed"), per_day("failed"))
