"""How many cores are worth having; pure functions.

CPU time over elapsed time is the number of cores that a run used on average. An average hides bursts: a tool that uses
2 of 8 may use 1 for most of the time and all 8 for a while, and the while grows when cores are taken away. The worst
case is a run that uses either one core or all: of `asked` cores it then used all for the share
p = (used - 1) / (asked - 1) of its time, and with n cores takes (1 - p) + p * asked / n times as long (Amdahl's law).
A run that always used the average takes no longer at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from neuroflow.views.resources_estimate import covering
from neuroflow.views.resources_needs import Need, RunUse

MOST_SLOWER = 1.25  # the worst case of the average run must not take longer than so many times its time


@dataclass(frozen=True)
class Cores:
    """So many cores, and by which factor runs take longer with them at worst."""

    cores: int
    slower: float


def choose_cores(used: Sequence[float], *, asked: int, share: float) -> Cores:
    """Return the fewest cores that cover the averages of a share of the runs, and cost little time at worst.

    Args:
        used: the cores that each run used on average; not empty.
        asked: the cores that these runs had.
        share: of the runs.
    """
    least = math.ceil(covering(used, share) or asked)
    mean = min(max(sum(used) / len(used), 1.0), asked)
    for cores in range(max(least, 1), asked):
        slower = slowdown(mean, asked=asked, cores=cores)
        if slower <= MOST_SLOWER:
            return Cores(cores, slower)
    return Cores(asked, 1.0)


def slowdown(used: float, *, asked: int, cores: int) -> float:
    """Return how many times longer a run takes at worst with fewer cores than it had."""
    if asked <= 1:
        return 1.0
    at_once = (used - 1) / (asked - 1)
    return (1 - at_once) + at_once * asked / cores


def as_with(run: RunUse, cores: int) -> RunUse:
    """Return what a run that had more cores would have needed with fewer, at worst."""
    had = run.request.cpus
    if had <= cores or run.minutes is None or run.cores is None:
        return run
    slower = slowdown(min(max(run.cores, 1.0), had), asked=had, cores=cores)
    return replace(run, minutes=Need(run.minutes.amount * slower, more=run.minutes.more))
