"""The pipelines: level, queue, order, resources and retry policy, in code, overridden by the configuration."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Literal

from neuroflow.config.execution import (
    BidsConversionSettings,
    PipelineSettings,
    QSIParcSettings,
    QSIPrepSettings,
    QSIReconSettings,
)
from neuroflow.config.recovery import Retry
from neuroflow.domain import Level, Resources
from neuroflow.domain.gres import gpus_of
from neuroflow.errors import ConfigError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from neuroflow.config import NeuroflowConfig

Where = Literal["cluster", "worker", "voxelops"]


@dataclass(frozen=True)
class Pipeline:
    """One tool at one level, and how its runs are queued, executed and retried."""

    name: str
    title: str
    level: Level
    queue: str
    depends_on: tuple[str, ...]
    resources: Resources
    settings: PipelineSettings
    where: Where = "cluster"
    retry: Retry = field(default_factory=Retry)
    max_concurrent: int = 4
    enabled: bool = True

    @property
    def routing_key(self) -> str:
        """The routing key of its queue."""
        return routing_key(self.queue)


def routing_key(queue: str) -> str:
    """Return a queue's routing key."""
    return "heavy" if queue == "heavy_processing" else queue


# Requests: BABS' published QSIPrep and QSIRecon examples (8 cores, 40 GB, 12 h and 6 h).
BUILT_IN: tuple[Pipeline, ...] = (
    Pipeline(
        name="bids_conversion",
        title="HeudiConv and dcm2niix: DICOM to BIDS",
        level=Level.SESSION,
        queue="bids",
        depends_on=(),
        resources=Resources(cpus=2, memory_mb=8_000, time_minutes=120),
        settings=BidsConversionSettings(),
        where="worker",
        max_concurrent=4,
    ),
    Pipeline(
        name="qsiprep",
        title="QSIPrep: preprocessing of a subject's sessions",
        level=Level.SUBJECT,
        queue="heavy_processing",
        depends_on=("bids_conversion",),
        resources=Resources(cpus=8, memory_mb=40_000, time_minutes=24 * 60),
        settings=QSIPrepSettings(),
        max_concurrent=1,
    ),
    Pipeline(
        name="qsirecon",
        title="QSIRecon: reconstruction of a session",
        level=Level.SESSION,
        queue="processing",
        depends_on=("qsiprep",),
        resources=Resources(cpus=8, memory_mb=32_000, time_minutes=12 * 60),
        settings=QSIReconSettings(),
        max_concurrent=2,
    ),
    Pipeline(
        name="qsiparc",
        title="QSIParc: regional tables of a session",
        level=Level.SESSION,
        queue="processing",
        depends_on=("qsirecon",),
        resources=Resources(cpus=2, memory_mb=8_000, time_minutes=120),
        settings=QSIParcSettings(),
        max_concurrent=4,
    ),
)


def largest_request() -> Resources:
    """Return the most that any pipeline asks for by itself, part by part."""
    requests = [pipeline.resources for pipeline in BUILT_IN]
    return Resources(
        cpus=max(one.cpus for one in requests),
        memory_mb=max(one.memory_mb for one in requests),
        time_minutes=max(one.time_minutes for one in requests),
    )


class Registry:
    """The pipelines in the order in which they depend on each other."""

    def __init__(self, pipelines: Iterable[Pipeline]) -> None:
        by_name = {pipeline.name: pipeline for pipeline in pipelines}
        for pipeline in by_name.values():
            for upstream in pipeline.depends_on:
                if upstream not in by_name:
                    raise ConfigError(
                        f"pipelines.{pipeline.name}.depends_on names '{upstream}', which is no pipeline; "
                        f"there are: {', '.join(by_name)}"
                    )
        self._by_name = {name: by_name[name] for name in _ordered(by_name)}

    def __iter__(self) -> Iterator[Pipeline]:
        return iter(self._by_name.values())

    def names(self) -> tuple[str, ...]:
        """Return the names, upstream first."""
        return tuple(self._by_name)

    def get(self, name: str) -> Pipeline:
        """Return a pipeline by name.

        Raises:
            NotFoundError: with the names that exist, and the nearest one.
        """
        if name in self._by_name:
            return self._by_name[name]
        near = difflib.get_close_matches(name, self._by_name, n=1)
        guess = f" Did you mean '{near[0]}'?" if near else ""
        raise NotFoundError(f"there is no pipeline '{name}'.{guess} There are: {', '.join(self._by_name)}")

    def downstream_of(self, name: str) -> tuple[Pipeline, ...]:
        """Return every pipeline that depends on `name`, directly or not, nearest first."""
        reached = {name}
        found = []
        for pipeline in self:
            if reached.intersection(pipeline.depends_on):
                reached.add(pipeline.name)
                found.append(pipeline)
        return tuple(found)


def get_registry(config: NeuroflowConfig | None = None) -> Registry:
    """Return the four pipelines, with the configuration's overrides where there is one."""
    if config is None:
        return Registry(BUILT_IN)
    return Registry(_overridden(pipeline, config) for pipeline in BUILT_IN)


def _overridden(pipeline: Pipeline, config: NeuroflowConfig) -> Pipeline:
    settings: PipelineSettings = getattr(config.pipelines, pipeline.name)
    default = pipeline.resources
    resources = Resources(
        cpus=settings.cpus or default.cpus,
        memory_mb=settings.memory_mb or default.memory_mb,
        time_minutes=settings.time_minutes or default.time_minutes,
        gpus=gpus_of(settings.gres) or (default.gpus if settings.gpus is None else settings.gpus),
    )
    return replace(
        pipeline,
        level=pipeline.level if settings.level is None else Level(settings.level),
        queue=settings.queue or pipeline.queue,
        depends_on=pipeline.depends_on if settings.depends_on is None else settings.depends_on,
        resources=resources,
        settings=settings,
        where=settings.where or pipeline.where,
        retry=settings.retry.over(config.workflow.retry),
        max_concurrent=config.workflow.max_concurrent.of(pipeline.name),
        enabled=settings.enabled,
    )


def _ordered(by_name: dict[str, Pipeline]) -> list[str]:
    try:
        return list(TopologicalSorter({name: p.depends_on for name, p in by_name.items()}).static_order())
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise ConfigError(
            f"pipelines.*.depends_on runs in a circle: {circle}; one of these must not depend on the next"
        ) from error
