"""How much covers which share of runs; pure functions.

Runs that were stopped at their limit need more than that, but nobody knows how much more. The product-limit estimator
(Kaplan and Meier 1958, doi:10.1080/01621459.1958.10501452) gives the weight of each of them to the runs that were seen
to need more, instead of leaving them out, which would make requests look larger than they are, or of taking what they
had asked for as what they needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from neuroflow.views.resources_needs import Need

_TINY = 1e-9


@dataclass(frozen=True)
class Spread:
    """How needs are spread: amounts in rising order with their weights; what is beyond the last is not known."""

    weights: tuple[tuple[float, float], ...]
    beyond: float  # weight of what needs more than anything that was seen to suffice
    stopped_at: float  # the largest amount at which such a run was stopped; 0 without any

    def covering(self, share: float) -> float | None:
        """Return the amount that covers a share of runs; None where no run was seen to succeed with so much."""
        covered = 0.0
        for amount, weight in self.weights:
            covered += weight
            if covered >= share - _TINY:
                return amount
        return None

    def over(self, amount: float) -> list[tuple[float, float]]:
        """Return what needs more than an amount, with its weight; of what is beyond all, the least that it needs."""
        found = [(need, weight) for need, weight in self.weights if need > amount]
        if self.beyond > _TINY:
            # It needs more than where it was stopped, so that exactly this much does not cover it either.
            found.append((max(self.stopped_at, amount) * (1 + _TINY), self.beyond))
        return found

    def mean(self) -> float:
        """Return the mean; what is beyond counts as the largest that is known."""
        last = max([self.stopped_at, *(amount for amount, _ in self.weights)], default=0.0)
        return sum(amount * weight for amount, weight in self.weights) + last * self.beyond


def spread_of(needs: Sequence[Need]) -> Spread:
    """Estimate how needs are spread."""
    at_risk, left = len(needs), 1.0
    weights: list[tuple[float, float]] = []
    stopped_at = 0.0
    # Of the same amount the runs that were stopped come last: they needed more.
    for amount, more in sorted([(need.amount, need.more) for need in needs]):
        if more:
            stopped_at = amount
        else:
            weight = left / at_risk
            weights.append((amount, weight))
            left -= weight
        at_risk -= 1
    return Spread(tuple(weights), beyond=max(left, 0.0) if stopped_at else 0.0, stopped_at=stopped_at)


def median(values: Sequence[float]) -> float | None:
    """Return the lower median; None of nothing."""
    return sorted(values)[(len(values) - 1) // 2] if values else None


def covering(values: Sequence[float], share: float) -> float | None:
    """Return the smallest value that covers a share of the values; None of nothing."""
    return sorted(values)[max(math.ceil(share * len(values) - _TINY) - 1, 0)] if values else None


def rounded_up(amount: float, steps: Sequence[tuple[float, int]]) -> int:
    """Round up to a multiple of the step that is meant for its size: pairs of an upper bound and a step, rising."""
    step = next((step for bound, step in steps if amount <= bound), steps[-1][1])
    return math.ceil(amount / step - _TINY) * step
