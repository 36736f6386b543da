"""Sums over everything that ever happened, as monitoring wants them."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

# Upper bounds (s): from a minute to the limits that clusters have.
WAIT_BUCKETS = (60.0, 300.0, 900.0, 3600.0, 14_400.0, 43_200.0, 86_400.0, 259_200.0, 604_800.0)
TIME_BUCKETS = (60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0, 28_800.0, 57_600.0, 86_400.0, 172_800.0)


@dataclass
class Histogram:
    """How many values fell into each bucket, beyond the last one too, and their sum."""

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        """Count a value; clocks that differ make no negative one."""
        value = max(value, 0.0)
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass
class AttemptTallies:
    """What became of all attempts that have ended."""

    ended: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # by pipeline, outcome, failure class or ""
    waits: dict[str, Histogram] = field(default_factory=dict)  # from submission to start (s), by pipeline
    times: dict[str, Histogram] = field(default_factory=dict)  # from start to end (s), by pipeline


@dataclass(frozen=True)
class StateCounts:
    """How many of everything there are now."""

    runs: dict[tuple[str, str], int]  # by pipeline and status
    sessions: dict[str, int]  # by status
    dead_letters: dict[str, int]  # by pipeline
