"""Where a pipeline's jobs go: the partition that is named, or the smallest that fits; pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from neuroflow.config.execution import Cluster as ClusterSettings
from neuroflow.config.execution import Limits, PipelineSettings
from neuroflow.config.partitions import AUTO, JobSettings, job_settings, limits_in, settings_of
from neuroflow.domain import PartitionLimits, Resources, SiteLimits
from neuroflow.domain.gres import gpu_type_of, gpus_of
from neuroflow.errors import PlacementError
from neuroflow.orchestrator.access import refusal
from neuroflow.orchestrator.candidates import PARTS, Candidate, with_features
from neuroflow.orchestrator.limits import effective_limits
from neuroflow.orchestrator.registry import Pipeline


@dataclass(frozen=True)
class Placement:
    """Where a job goes."""

    account: str | None
    partition: str | None
    qos: str | None


@dataclass(frozen=True)
class Places:
    """What is known of the places for a site's jobs; read once, for as many decisions as are made at one time."""

    cluster: ClusterSettings
    site: SiteLimits
    # By pipeline, and by its request: thousands of runs may ask for the same.
    _found: dict[tuple[str, Resources], Placement] = field(default_factory=dict, compare=False, repr=False)
    _candidates: dict[str, tuple[Candidate, ...]] = field(default_factory=dict, compare=False, repr=False)

    def of(self, pipeline: Pipeline, request: Resources) -> Placement:
        """Return where a job with this request goes.

        Raises:
            PlacementError: when `auto` finds no partition, for now or for good.
        """
        key = (pipeline.name, request)
        if key not in self._found:
            settings = pipeline.settings
            partition = self._chosen(pipeline, request) if self.is_auto(settings) else self._named(settings)
            job = job_settings(self.cluster, settings, partition=partition)
            self._found[key] = Placement(job.account, job.partition, job.qos)
        return self._found[key]

    def is_auto(self, settings: PipelineSettings) -> bool:
        """Tell whether a pipeline's partition is chosen for each request."""
        return (settings.partition or self.cluster.partition) == AUTO

    def placed(self, pipeline: Pipeline, request: Resources) -> Resources:
        """Return the request that a job makes: with its partition, with the GPUs of it, within its limits.

        Raises:
            PlacementError: when `auto` finds no partition, for now or for good.
        """
        settings = pipeline.settings
        if not self.is_auto(settings):
            request = clipped(request, self.limits(pipeline, request))
        partition = self.of(pipeline, request).partition
        gres = job_settings(self.cluster, settings, partition=partition).gres
        return replace(request, partition=partition or "", gpus=gpus_of(gres) or request.gpus)

    def limits(self, pipeline: Pipeline, request: Resources) -> Limits:
        """Return how far each part of a request may grow while the others stay: in the partition, or in any of them."""
        if not self.is_auto(pipeline.settings):
            one = self._candidate(pipeline.settings, self._named(pipeline.settings))
            reached = {part: one.most(part, request) for part in PARTS}
            return Limits(**{p: _whole(one.largest(p) if most is None else most) for p, most in reached.items()})
        allowed = [one for one in self.candidates(pipeline) if not one.refusal and _suits(one, request)]
        found = {part: [most for one in allowed if (most := one.most(part, request)) is not None] for part in PARTS}
        return Limits(**{part: _whole(max(most, default=getattr(request, part))) for part, most in found.items()})

    def nodes(self, pipeline: Pipeline, request: Resources) -> int | None:
        """Return how many nodes there are where a job goes; None where that is not known."""
        known = (self.site.partitions or {}).get(self.site.partition_name(self.of(pipeline, request).partition) or "")
        return None if known is None else known.nodes

    def candidates(self, pipeline: Pipeline) -> tuple[Candidate, ...]:
        """Return all partitions that `auto` looks at: those that the configuration lists, or else SLURM."""
        if pipeline.name not in self._candidates:
            names = self.cluster.partitions or self.site.partitions or {}
            found = tuple(self._candidate(pipeline.settings, name) for name in sorted(names))
            self._candidates[pipeline.name] = found
        return self._candidates[pipeline.name]

    def _named(self, settings: PipelineSettings) -> str | None:
        """Return the partition that the configuration names, or SLURM's default one where that has settings here."""
        wanted = settings.partition or self.cluster.partition
        default = self.site.partition_name(None)
        return wanted or (default if default in self.cluster.partitions else None)

    def _chosen(self, pipeline: Pipeline, request: Resources) -> str:
        known = self.candidates(pipeline)
        if not known:
            raise PlacementError(
                f"{pipeline.name} has `partition: {AUTO}`, and SLURM has not said yet which partitions there are",
                transient=True,
                hint="it is asked again within the hour; or list them under cluster.partitions",
            )
        fitting = [one for one in known if not one.refusal and _suits(one, request) and one.takes(request)]
        up = [one for one in fitting if one.state == "UP"]
        if up:
            return min(up, key=Candidate.order).name
        if fitting:
            raise PlacementError(
                f"only {_list(one.name for one in fitting)} would take it, and is {fitting[0].state} at present",
                transient=True,
                hint="`sinfo` tells more",
            )
        raise _nothing_fits(pipeline, request, known)

    def _candidate(self, settings: PipelineSettings, name: str | None) -> Candidate:
        job = job_settings(self.cluster, settings, partition=name)
        own = settings_of(self.cluster, name)
        slurm_name = self.site.partition_name(name) or ""
        known = (self.site.partitions or {}).get(slurm_name, PartitionLimits())
        nodes = None if self.site.nodes is None else self.site.nodes.get(slurm_name)
        return Candidate(
            name=slurm_name,
            limits=self._limits(job, name),
            nodes=None if nodes is None else with_features(nodes, job.constraint),
            gpu_type=gpu_type_of(job.gres),
            wants_gpus=bool(own.limits.gpus or gpus_of(own.gres)),
            is_default=known.is_default,
            state=known.state,
            refusal=refusal(self.site, job, own, preemptible_too=settings.preemptible),
        )

    def _limits(self, job: JobSettings, name: str | None) -> Limits:
        configured = limits_in(self.cluster, name)
        return effective_limits(configured, self.site, partition=name, qos=job.qos, account=job.account)


def clipped(request: Resources, limits: Limits) -> Resources:
    """Return a request that limits allow."""
    return replace(
        request,
        cpus=min(request.cpus, limits.cpus or request.cpus),
        memory_mb=min(request.memory_mb, limits.memory_mb or request.memory_mb),
        time_minutes=min(request.time_minutes, limits.time_minutes or request.time_minutes),
    )


def _suits(candidate: Candidate, request: Resources) -> bool:
    """Keep jobs without a GPU off the nodes that have them."""
    return bool(request.gpus) or not candidate.is_for_gpus


def _nothing_fits(pipeline: Pipeline, request: Resources, known: Iterable[Candidate]) -> PlacementError:
    asked = f"{request.cpus} cores, {request.memory_mb} MiB, {request.time_minutes} min, {request.gpus} GPUs"
    described = [
        one.in_words() if _suits(one, request) or one.refusal else f"{one.name}: for jobs on GPUs" for one in known
    ]
    return PlacementError(
        f"no partition takes a job of {pipeline.name} ({asked}). {'; '.join(described)}",
        transient=False,
        hint=f"change the request under pipelines.{pipeline.name}, or see cluster.limits and cluster.partitions",
    )


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)


def _whole(value: float) -> int | None:
    return None if value == math.inf else int(value)
