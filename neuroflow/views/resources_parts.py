"""Memory, time and cores of a pipeline: asked for, used, and what would have covered most runs; pure functions."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from neuroflow.config.partitions import Limits
from neuroflow.domain import Resources
from neuroflow.views.resources_cores import choose_cores
from neuroflow.views.resources_estimate import median, rounded_up, spread_of
from neuroflow.views.resources_needs import Need, RunUse
from neuroflow.wording import counted

FEWEST_RUNS = 20
# On top of what would have covered most runs. Memory: peaks between two looks, larger data. Time: slower nodes, busy
# file systems.
MEMORY_MARGIN = 1.2
TIME_MARGIN = 1.25
SMALLEST_CHANGE = 0.1  # of a request: less is not worth another one
SHORTEST_MINUTES = 10
_MEMORY_STEPS = ((1000.0, 100), (10_000.0, 500), (math.inf, 1000))  # MiB
_TIME_STEPS = ((60.0, 5), (360.0, 15), (1440.0, 30), (math.inf, 60))  # min

NAMES = ("memory", "time", "cores")
_KEYS = (("memory_mb", "MiB"), ("time_minutes", "min"), ("cpus", "cores"))


@dataclass(frozen=True)
class Part:
    """Memory, time or cores of a pipeline: asked for, used, suggested."""

    name: str  # memory, time, cores
    key: str  # under pipelines.NAME in the configuration
    unit: str
    asked: int
    runs: int  # whose need is known, at least in part
    stopped: int  # of these, that were stopped for want of it and never succeeded: they need more than they had
    median: float | None
    covering: float | None  # None too where more than the share left over needs more than any run was given
    largest: float | None
    used_share: float | None  # of what its attempt had asked for: the median run
    suggested: int | None = None
    note: str = ""

    @property
    def wanted(self) -> int:
        """What to ask for from now on."""
        return self.asked if self.suggested is None else self.suggested


@dataclass(frozen=True)
class Parts:
    """All three, and by which factor runs take longer at worst with the cores that are suggested."""

    memory: Part
    time: Part
    cores: Part
    slower: float = 1.0

    def __iter__(self) -> Iterator[Part]:
        return iter((self.memory, self.time, self.cores))


def fewest_runs(share: float) -> int:
    """Return how many runs tell what covers a share of them: of fewer, that is the largest, or lies beyond it."""
    return max(FEWEST_RUNS, math.ceil(1 / (1 - share) - 1e-9))


def suggest_parts(
    runs: Sequence[RunUse], asked: Resources, *, limits: Limits, share: float, only: Collection[str] = NAMES
) -> Parts:
    """Compare what is asked for with what runs used, and suggest what covers a share of them.

    Args:
        only: which of memory, time and cores may be suggested.
    """
    memory, time, cores = measure_parts(runs, asked, share=share)
    slower = 1.0
    if "cores" in only:
        most_minutes = limits.time_minutes if "time" in only else asked.time_minutes
        cores, slower = _cores(cores, time, runs, most_minutes=most_minutes, share=share)
    return Parts(
        memory=_memory(memory, limits) if "memory" in only else memory,
        time=_time(time, limits, slower) if "time" in only else time,
        cores=cores,
        slower=slower,
    )


def measure_parts(runs: Sequence[RunUse], asked: Resources, *, share: float) -> tuple[Part, Part, Part]:
    """Compare what is asked for with what runs used."""
    alike = [run for run in runs if run.request.cpus == asked.cpus]  # other runs had other cores to use
    return (
        _measured(runs, "memory", asked=asked.memory_mb, share=share),
        _measured(runs, "time", asked=asked.time_minutes, share=share),
        _measured(alike, "cores", asked=asked.cpus, share=share),
    )


def _memory(part: Part, limits: Limits) -> Part:
    if part.covering is None:
        return part
    return _suggest(part, rounded_up(part.covering * MEMORY_MARGIN, _MEMORY_STEPS), limit=limits.memory_mb)


def _time(part: Part, limits: Limits, slower: float) -> Part:
    return part if part.covering is None else _suggest(part, _minutes(part.covering, slower), limit=limits.time_minutes)


def _minutes(covering: float, slower: float) -> int:
    return max(rounded_up(covering * TIME_MARGIN * slower, _TIME_STEPS), SHORTEST_MINUTES)


def _cores(
    part: Part, time: Part, runs: Sequence[RunUse], *, most_minutes: int | None, share: float
) -> tuple[Part, float]:
    """Suggest fewer cores where runs end in time with them, and say how much longer they take at worst."""
    if part.covering is None or time.covering is None:
        return part, 1.0
    used = [run.cores for run in runs if run.cores is not None and run.request.cpus == part.asked]
    choice = choose_cores(used, asked=part.asked, share=share)
    too_late = most_minutes is not None and _minutes(time.covering, choice.slower) > most_minutes
    if choice.cores >= part.asked or too_late:
        return part, 1.0
    note = f"at worst {round((choice.slower - 1) * 100)} % slower; the time allows for it"
    return replace(part, suggested=choice.cores, note=note), choice.slower


def _measured(runs: Sequence[RunUse], name: str, *, asked: int, share: float) -> Part:
    """Return what was used, and why nothing can be suggested, if so."""
    index = NAMES.index(name)
    key, unit = _KEYS[index]
    needs = [need for run in runs if (need := _need(run, index)) is not None]
    known = [need.amount for need in needs if not need.more]
    shares = [used for run in runs if (used := run.shares()[index]) is not None]
    part = Part(
        name=name,
        key=key,
        unit=unit,
        asked=asked,
        runs=len(needs),
        stopped=len(needs) - len(known),
        median=median(known),
        covering=None,
        largest=max(known, default=None),
        used_share=median(shares),
    )
    if len(needs) < fewest_runs(share):
        with_so_many = f" with {counted(asked, 'core')}" if name == "cores" else ""
        return replace(part, note=f"not enough history{with_so_many} ({len(needs)} of {fewest_runs(share)} runs)")
    spread = spread_of(needs)
    enough = spread.covering(share)
    if enough is None:
        return replace(
            part,
            note=f"{share:.0%} can't be told: too many runs were stopped, at up to {spread.stopped_at:,.0f} {unit}; "
            "raise it, and look again",
        )
    return replace(part, covering=enough)


def _need(run: RunUse, index: int) -> Need | None:
    cores = None if run.cores is None else Need(run.cores)
    return (run.memory_mb, run.minutes, cores)[index]


def _suggest(part: Part, wanted: int, *, limit: int | None) -> Part:
    note = ""
    if limit is not None and wanted > limit:
        wanted, note = limit, f"the partition takes no more than {limit:,}"
    if abs(wanted - part.asked) < SMALLEST_CHANGE * part.asked:
        return replace(part, note=note)
    return replace(part, suggested=wanted, note=note)
