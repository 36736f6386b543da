"""What each run needed, from what its attempts used; pure functions.

A run that has succeeded tells what it needs, and one that was stopped at its limit that it needs more than that. Where
a run was stopped and then succeeded, the larger figure counts: a measurement misses peaks between two looks, and an
attempt that goes on where a timed-out one was stopped takes less time than the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from neuroflow.domain import FailureClass, Resources
from neuroflow.domain.usage import UsedAttempt


@dataclass(frozen=True)
class Need:
    """How much one run needed: so much, or more than that where it was stopped there and never succeeded."""

    amount: float
    more: bool = False


@dataclass(frozen=True)
class RunUse:
    """What is known of one run."""

    request: Resources  # of the attempt that succeeded, or else of the last one
    memory_mb: Need | None
    minutes: Need | None
    cores: float | None  # used on average
    version: str
    inputs_key: str
    attempts: int
    day: str

    @property
    def sessions(self) -> int:
        """How many sessions it covered: what an inputs key such as `bids_conversion:3,7` names."""
        parts = [part.partition(":")[2] for part in self.inputs_key.split(";")]
        return max(1, *(len(part.replace("+", ",").split(",")) for part in parts))

    def shares(self) -> tuple[float | None, float | None, float | None]:
        """Return which part of its memory, time and cores it used; None where that is not known."""
        memory = self.memory_mb.amount / self.request.memory_mb if self.memory_mb and not self.memory_mb.more else None
        minutes = self.minutes.amount / self.request.time_minutes if self.minutes and not self.minutes.more else None
        return memory, minutes, None if self.cores is None else self.cores / self.request.cpus


def runs_of(attempts: Sequence[UsedAttempt]) -> list[RunUse]:
    """Return what is known of each run, newest first."""
    ordered = sorted(attempts, key=lambda attempt: -attempt.run_id)
    return [_run(list(group)) for _, group in groupby(ordered, key=lambda attempt: attempt.run_id)]


def _run(attempts: Sequence[UsedAttempt]) -> RunUse:
    success = next((attempt for attempt in attempts if attempt.failure is None), None)
    last = success or attempts[0]
    elapsed = success.elapsed_seconds if success else None
    cpu = success.cpu_seconds if success else None
    return RunUse(
        request=last.request,
        memory_mb=_need(
            success.max_rss_mb if success else None,
            [one.request.memory_mb for one in attempts if one.failure is FailureClass.OUT_OF_MEMORY],
            ended=success is not None,
        ),
        minutes=_need(
            None if elapsed is None else elapsed / 60,
            [one.request.time_minutes for one in attempts if one.failure is FailureClass.TIMEOUT],
            ended=success is not None,
        ),
        cores=cpu / elapsed if cpu is not None and elapsed else None,
        version=last.version,
        inputs_key=last.inputs_key,
        attempts=len(attempts),
        day=last.day,
    )


def _need(used: float | None, stopped_at: Sequence[int], *, ended: bool) -> Need | None:
    if ended:
        return None if used is None else Need(max(used, *stopped_at) if stopped_at else used)
    return Need(max(stopped_at), more=True) if stopped_at else None
