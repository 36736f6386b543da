"""Right-sizing: what a pipeline asks for against what its runs used, and what would have covered most of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from neuroflow.config.partitions import AUTO, Limits, limits_in
from neuroflow.domain import Resources
from neuroflow.views.resources_cores import as_with
from neuroflow.views.resources_cost import Cost, Prices
from neuroflow.views.resources_estimate import spread_of
from neuroflow.views.resources_needs import RunUse, runs_of
from neuroflow.views.resources_parts import NAMES, Part, Parts, fewest_runs, measure_parts, suggest_parts
from neuroflow.wording import counted

if TYPE_CHECKING:
    from neuroflow.orchestrator.registry import Pipeline
    from neuroflow.orchestrator.services import Services

MOST_ATTEMPTS = 5_000  # of a pipeline, the newest: older ones tell of other data, images and nodes
_CORE_OPTIONS = ("nprocs", "nthreads", "n-cpus", "n_cpus")

SPLITS: Mapping[str, Callable[[RunUse], str]] = {
    "partition": lambda run: run.request.partition or "(not named)",
    "sessions": lambda run: counted(run.sessions, "session"),
    "version": lambda run: run.version or "(not known)",
}


@dataclass(frozen=True)
class Question:
    """What is asked."""

    since: datetime | None = None
    share: float = 0.95  # of runs that a request is to cover
    split: str | None = None  # partition, sessions or version: figures for each as well
    only: tuple[str, ...] = NAMES  # memory, time, cores: what may be suggested


@dataclass(frozen=True)
class Group:
    """Figures of a part of the runs, for comparison."""

    name: str
    runs: int
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Sizing:
    """What is known of a pipeline's requests."""

    pipeline: str
    level: str
    runs: int
    attempts: int
    first_day: str
    last_day: str
    version: str  # of the tool, whose runs were looked at; empty: several, or not known
    versions: Mapping[str, int]  # runs of each
    parts: tuple[Part, ...]
    cost: Cost | None  # of 100 runs as things are
    suggested_cost: Cost | None
    groups: tuple[Group, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def suggestions(self) -> dict[str, int]:
        """The keys under pipelines.NAME whose values should be others."""
        return {part.key: part.suggested for part in self.parts if part.suggested is not None}


def sizing_of(services: Services, pipeline: Pipeline, question: Question) -> Sizing:
    """Look at what a pipeline's runs used."""
    attempts = services.state.used_attempts(
        pipeline.name, level=pipeline.level, since=question.since, limit=MOST_ATTEMPTS
    )
    cluster = services.config.cluster
    named = pipeline.settings.partition or cluster.partition
    limits = limits_in(cluster, None if named == AUTO else named)
    return size(pipeline, runs_of(attempts), limits=limits, question=question)


def size(pipeline: Pipeline, runs: Sequence[RunUse], *, limits: Limits, question: Question) -> Sizing:
    """Compare what a pipeline asks for with what its runs used."""
    versions = Counter(run.version for run in runs)
    looked_at, notes = _of_one_version(runs, versions, fewest=fewest_runs(question.share))
    asked = pipeline.resources
    faster = sum(1 for run in looked_at if run.request.cpus > asked.cpus)
    if faster:
        notes.append(f"{faster:,} runs had more than {asked.cpus} cores: their times are reckoned as with {asked.cpus}")
    looked_at = [as_with(run, asked.cpus) for run in looked_at]
    parts = suggest_parts(looked_at, asked, limits=limits, share=question.share, only=question.only)
    cost, suggested_cost = _costs(pipeline, looked_at, limits=limits, parts=parts)
    days = [run.day for run in looked_at if run.day]
    return Sizing(
        pipeline=pipeline.name,
        level=pipeline.level.value,
        runs=len(looked_at),
        attempts=sum(run.attempts for run in looked_at),
        first_day=min(days, default=""),
        last_day=max(days, default=""),
        version=looked_at[0].version if looked_at and len({run.version for run in looked_at}) == 1 else "",
        versions=dict(versions),
        parts=tuple(parts),
        cost=cost,
        suggested_cost=suggested_cost,
        groups=_groups(looked_at, asked, question),
        notes=(*notes, *_notes(pipeline)),
    )


def _of_one_version(
    runs: Sequence[RunUse], versions: Counter[str], *, fewest: int
) -> tuple[Sequence[RunUse], list[str]]:
    """Keep the runs of the newest version of the tool where there are enough of them."""
    if len(versions) < 2:
        return runs, []
    newest = runs[0].version
    others = ", ".join(f"{count} of {version or 'an unknown version'}" for version, count in versions.items())
    own = [run for run in runs if run.version == newest]
    if len(own) >= fewest:
        return own, [f"only runs of version {newest}, the newest, are looked at ({others})"]
    return runs, [
        f"the history spans several versions of the tool ({others}): too few runs of {newest}, the newest, to look at "
        "those alone"
    ]


def _costs(
    pipeline: Pipeline, runs: Sequence[RunUse], *, limits: Limits, parts: Parts
) -> tuple[Cost | None, Cost | None]:
    """Return what runs cost as things are, and with what is suggested."""
    if parts.memory.covering is None or parts.time.covering is None:
        return None, None
    prices = Prices(
        memory_mb=spread_of([run.memory_mb for run in runs if run.memory_mb]),
        minutes=spread_of([run.minutes for run in runs if run.minutes]),
        policy=pipeline.retry,
        limits=limits,
    )
    suggested = replace(
        pipeline.resources,
        memory_mb=parts.memory.wanted,
        time_minutes=parts.time.wanted,
        cpus=parts.cores.wanted,
    )
    now = prices.cost(pipeline.resources)
    return now, None if suggested == pipeline.resources else prices.cost(suggested, slower=parts.slower)


def _groups(runs: Sequence[RunUse], asked: Resources, question: Question) -> tuple[Group, ...]:
    if question.split is None:
        return ()
    found: dict[str, list[RunUse]] = {}
    for run in runs:
        found.setdefault(SPLITS[question.split](run), []).append(run)
    return tuple(
        Group(name, len(found[name]), measure_parts(found[name], asked, share=question.share)) for name in sorted(found)
    )


def _notes(pipeline: Pipeline) -> list[str]:
    notes = []
    if pipeline.where == "worker":
        notes.append("its work is done inside the worker, where no memory or cores are set aside for it")
    fixed = [word for word in pipeline.settings.args if any(name in word for name in _CORE_OPTIONS)]
    if fixed:
        notes.append(f"pipelines.{pipeline.name}.args sets the tool's own number of cores: {' '.join(fixed)}")
    return notes
