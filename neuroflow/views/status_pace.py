"""How fast a pipeline goes, and how long the rest takes at that pace: pure functions over a site's own history."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from neuroflow.domain import RunStatus
from neuroflow.domain.overview import HourCount

HISTORY = timedelta(days=14)
# Each window gives a rate of its own; the slowest and the fastest give the range.
WINDOWS = tuple(timedelta(hours=hours) for hours in (6, 24, 72, 168, 336))
# Fewer completed runs within a window say nothing of a rate.
FEWEST = 5
# Nothing has completed for that long: whatever the rate was, it is not the present one.
SILENCE = timedelta(days=3)
DURATIONS = 50  # the last runs, of which the median is taken


@dataclass(frozen=True)
class TimeLeft:
    """How long the rest takes: a range (h), or why nobody can tell."""

    low_hours: float | None
    high_hours: float | None
    because: str  # how it was computed, or why it is unknown


@dataclass(frozen=True)
class Pace:
    """What completed lately, and what follows from it."""

    completed_24h: int
    completed_7d: int
    completed_14d: int
    failed_7d: int
    median_hours: float | None  # of a run, from the start of its first attempt to its end
    left: TimeLeft | None  # None: nothing is left


@dataclass(frozen=True)
class Work:
    """What one pipeline still has to do, and how many at once."""

    left: int
    at_once: int
    held: bool = False


def pace_of(hours: Sequence[HourCount], durations: Sequence[timedelta], work: Work, *, now: datetime) -> Pace:
    """Return a pipeline's pace.

    Args:
        hours: how many of its runs ended within each hour of HISTORY.
        durations: how long the last ones took that completed.
        work: what is left.
        now: the present time.
    """
    completed = [(item.hour, item.count) for item in hours if item.status is RunStatus.COMPLETED]
    failed = [(item.hour, item.count) for item in hours if item.status is RunStatus.FAILED]
    took = median(one.total_seconds() for one in durations) / 3600 if durations else None
    return Pace(
        completed_24h=_since(completed, now - timedelta(hours=24)),
        completed_7d=_since(completed, now - timedelta(days=7)),
        completed_14d=_since(completed, now - HISTORY),
        failed_7d=_since(failed, now - timedelta(days=7)),
        median_hours=took,
        left=time_left(completed, took, work, now=now) if work.left else None,
    )


def time_left(
    completed: Sequence[tuple[datetime, int]], median_hours: float | None, work: Work, *, now: datetime
) -> TimeLeft:
    """Return how long the rest takes at the paces of the last hours, days and weeks, or why that can't be told."""
    if work.held:
        return TimeLeft(None, None, "unknown: the pipeline is held")
    if sum(count for _, count in completed) < FEWEST:
        return TimeLeft(None, None, f"unknown: no history, fewer than {FEWEST} runs completed in {HISTORY.days} days")
    newest = max(hour for hour, _ in completed)
    if now - newest > SILENCE:
        return TimeLeft(None, None, f"unknown: nothing has completed since {newest:%Y-%m-%d}")
    rates = _rates(completed, now)
    # However fast it went, no more than that many run at once.
    rounds = math.ceil(work.left / work.at_once) * (median_hours or 0.0)
    low = max(work.left / max(rates), rounds)
    high = max(work.left / min(rates), low)
    total = sum(count for _, count in completed)
    span = _days(now - min(hour for hour, _ in completed))
    at_once = f"at most {work.at_once} at once" + ("" if median_hours is None else f" of {_hours(median_hours)} each")
    return TimeLeft(round(low, 2), round(high, 2), f"{total} completed in {span}; {at_once}")


def together(parts: Sequence[tuple[str, TimeLeft]]) -> TimeLeft | None:
    """Return how long all pipelines take side by side: as long as the slowest; None where nothing is left."""
    if not parts:
        return None
    for name, part in parts:
        if part.low_hours is None:
            return TimeLeft(None, None, f"{part.because} ({name})")
    name, slowest = max(parts, key=lambda item: item[1].high_hours or 0.0)
    low = max(part.low_hours or 0.0 for _, part in parts)
    return TimeLeft(low, slowest.high_hours, f"{name} takes longest; the pipelines work side by side")


def _rates(completed: Sequence[tuple[datetime, int]], now: datetime) -> list[float]:
    """Return completed runs per hour, over each window that has enough of them."""
    begun = min(hour for hour, _ in completed)
    rates = []
    for window in WINDOWS:
        # A site that began yesterday has no week to divide by.
        span = min(window, now - begun)
        count = _since(completed, now - window)
        if count >= FEWEST:
            rates.append(count / max(span.total_seconds() / 3600, 1.0))
        if span < window:
            break
    return rates


def _since(counts: Sequence[tuple[datetime, int]], begin: datetime) -> int:
    # An hour that has begun before counts whole.
    return sum(count for hour, count in counts if hour + timedelta(hours=1) > begin)


def _days(span: timedelta) -> str:
    days = math.ceil(span.total_seconds() / 86_400)
    return "a day" if days <= 1 else f"{min(days, HISTORY.days)} days"


def _hours(hours: float) -> str:
    if hours < 1 / 60:
        return f"{max(hours * 3600, 1):.0f} s"
    return f"{hours * 60:.0f} min" if hours < 1 else f"{hours:.1f} h"
