"""How long each pipeline's attempts took, and how much memory they used, against what is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from neuroflow.domain import AttemptStatus
from neuroflow.domain.history import AttemptFact
from neuroflow.orchestrator.registry import Pipeline

_BINS = 48
_FEWEST = 5  # of fewer values there are no quantiles worth the name


@dataclass(frozen=True)
class Distribution:
    """A histogram from zero on, and a few quantiles."""

    count: int
    top: float  # where the last bin ends: no value, and not the request, lies beyond
    bins: tuple[int, ...]
    quantiles: tuple[float, ...]  # 5, 25, 50, 75, 95 and 100 %
    request: float
    values: tuple[float, ...] = ()  # all of them, where they are too few for quantiles


@dataclass(frozen=True)
class Usage:
    """What the successful attempts of a pipeline used."""

    pipeline: str
    minutes: Distribution | None
    memory_mb: Distribution | None


def usage_of(
    attempts: Iterable[AttemptFact],
    *,
    pipeline_of: Mapping[int, str],
    pipelines: Sequence[Pipeline],
    since: datetime | None,
) -> list[Usage]:
    """Gather the attempts that succeeded since then.

    Args:
        pipeline_of: by the run's id.
    """
    minutes: dict[str, list[float]] = {}
    memory: dict[str, list[float]] = {}
    for attempt in attempts:
        name = pipeline_of.get(attempt.run_id)
        if name is None or attempt.status is not AttemptStatus.SUCCEEDED or attempt.ended_at is None:
            continue
        if since is not None and attempt.ended_at < since:
            continue
        if attempt.started_at is not None:
            seconds = (attempt.ended_at - attempt.started_at).total_seconds()
            minutes.setdefault(name, []).append(max(seconds, 0.0) / 60)
        if attempt.max_rss_mb is not None:
            memory.setdefault(name, []).append(attempt.max_rss_mb)
    return [
        Usage(
            one.name,
            distribution(minutes.get(one.name, []), request=float(one.resources.time_minutes)),
            distribution(memory.get(one.name, []), request=float(one.resources.memory_mb)),
        )
        for one in pipelines
    ]


def distribution(values: list[float], *, request: float) -> Distribution | None:
    """Sort values into bins; None where there are none."""
    if not values:
        return None
    values = sorted(values)
    top = max(values[-1], request) * 1.02 or 1.0
    bins = [0] * _BINS
    for value in values:
        bins[min(int(value / top * _BINS), _BINS - 1)] += 1
    return Distribution(
        count=len(values),
        top=top,
        bins=tuple(bins),
        quantiles=tuple(_quantile(values, share) for share in (0.05, 0.25, 0.5, 0.75, 0.95, 1.0)),
        request=request,
        values=tuple(values) if len(values) < _FEWEST else (),
    )


def _quantile(values: Sequence[float], share: float) -> float:
    place = share * (len(values) - 1)
    below = int(place)
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (place - below)
