"""What a request costs per run, the attempts that it makes fail included; pure functions.

The needs of memory and of time are taken as independent of each other. A run that is killed for memory is taken to have
worked as long as a whole run does: in truth it may be killed earlier.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from neuroflow.config.partitions import Limits
from neuroflow.config.recovery import Retry
from neuroflow.domain import FailureClass, Resources
from neuroflow.orchestrator.retry import rule_for
from neuroflow.views.resources_estimate import Spread

RUNS = 100  # costs are told per so many runs


@dataclass(frozen=True)
class Cost:
    """What is to be expected of 100 runs with a request."""

    core_hours: float
    gb_hours: float
    retries: float  # attempts that end for want of memory or time, and are followed by a larger one
    given_up: float  # runs that would fail for good
    wasted_core_hours: float  # of core_hours, in attempts that fail


@dataclass(frozen=True)
class Ladder:
    """How a request grows from attempt to attempt."""

    growth: float
    attempts: int
    limit: int | None

    def steps(self, first: float, need: float) -> tuple[list[float], bool]:
        """Return the amounts that are tried, up to the first that covers a need, and whether one does."""
        tried = [first]
        while tried[-1] < need:
            larger = math.ceil(tried[-1] * self.growth)
            larger = larger if self.limit is None else min(larger, self.limit)
            if len(tried) >= self.attempts or larger <= tried[-1]:
                return tried, False
            tried.append(larger)
        return tried, True


def ladder_of(failure: FailureClass, policy: Retry, *, limit: int | None) -> Ladder:
    """Return how the retry policy makes a request grow after a failure."""
    rule = rule_for(failure, policy)
    attempts = (rule.max_attempts or policy.max_attempts) if rule.retry else 1
    return Ladder(rule.growth, attempts, limit)


@dataclass
class _Climb:
    """What is expected of a run whose request grows: shares of runs, numbers of attempts, and sums of amounts."""

    short: float = 0.0  # whose first attempt fails
    failing: float = 0.0
    failed_amount: float = 0.0
    succeeded_amount: float = 0.0
    given_up: float = 0.0


@dataclass(frozen=True)
class Prices:
    """What costs are reckoned from: needs, and how requests grow."""

    memory_mb: Spread
    minutes: Spread
    policy: Retry
    limits: Limits

    def cost(self, request: Resources, *, slower: float = 1.0) -> Cost:
        """Return what 100 runs cost with a request.

        Args:
            slower: by which factor runs take longer than they did.
        """
        hours = self.minutes.mean() * slower / 60
        memory = self._climb(self.memory_mb, FailureClass.OUT_OF_MEMORY, request.memory_mb, scale=1.0)
        time = self._climb(self.minutes, FailureClass.TIMEOUT, request.time_minutes, scale=slower)
        given_up = min(memory.given_up + time.given_up, 1.0)
        lost_hours = memory.failing * hours + time.failed_amount / 60
        done_hours = (1 - given_up) * hours
        done_mb = request.memory_mb * (1 - memory.short) + memory.succeeded_amount
        gb_hours = done_mb * hours + memory.failed_amount * hours + request.memory_mb * time.failed_amount / 60
        return Cost(
            core_hours=RUNS * request.cpus * (done_hours + lost_hours),
            gb_hours=RUNS * gb_hours / 1024,
            retries=RUNS * max(memory.failing + time.failing - given_up, 0.0),
            given_up=RUNS * given_up,
            wasted_core_hours=RUNS * request.cpus * lost_hours,
        )

    def _climb(self, needs: Spread, failure: FailureClass, first: int, *, scale: float) -> _Climb:
        """Return what the attempts of one run are expected to come to."""
        limit = self.limits.memory_mb if failure is FailureClass.OUT_OF_MEMORY else self.limits.time_minutes
        ladder = ladder_of(failure, self.policy, limit=limit)
        climb = _Climb()
        for need, weight in needs.over(first / scale):
            tried, enough = ladder.steps(first, need * scale)
            failing = tried[:-1] if enough else tried
            climb.short += weight
            climb.failing += weight * len(failing)
            climb.failed_amount += weight * sum(failing)
            climb.succeeded_amount += weight * tried[-1] if enough else 0.0
            climb.given_up += 0.0 if enough else weight
        return climb
