"""What a site says of one partition, and what holds for a job there: cluster < partition < pipeline."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from neuroflow.config.fields import OneLine, Section
from neuroflow.domain.gres import gpus_of, is_gres, with_gpus

if TYPE_CHECKING:
    from neuroflow.config.execution import Cluster, Containers, PipelineSettings

# Instead of a partition's name: the one that fits the request is chosen.
AUTO = "auto"


def _check_gres(text: str) -> str:
    if not is_gres(text):
        raise ValueError(f"{text!r} is no generic resource, such as gpu:1 or gpu:a100:2")
    return text


_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*", re.ASCII)


def _check_name(text: str) -> str:
    if text == AUTO or not _NAME.fullmatch(text):
        raise ValueError(f"{text!r} can't be a partition's name: letters, digits, '.', '_' and '-', and not '{AUTO}'")
    return text


PartitionName = Annotated[str, AfterValidator(_check_name)]
Gres = Annotated[OneLine, AfterValidator(_check_gres)]


class Limits(Section):
    """The largest request that a partition takes."""

    cpus: int | None = Field(default=None, ge=1, description="Cores.")
    memory_mb: int | None = Field(default=None, ge=1, description="Memory (MiB).")
    time_minutes: int | None = Field(default=None, ge=1, description="Wall time (min).")
    gpus: int | None = Field(default=None, ge=0, description="GPUs of one node; 0: it has none.")


class PartitionSettings(Section):
    """What holds for jobs in one partition: instead of what `cluster` says, lists in addition to it."""

    account: OneLine | None = Field(default=None, description="Instead of cluster.account.")
    qos: OneLine | None = Field(default=None, description="Instead of cluster.qos.")
    constraint: OneLine | None = Field(default=None, description="Instead of cluster.constraint.")
    gres: Gres | None = Field(default=None, description="Generic resources that its jobs ask for, such as gpu:v100:1.")
    scratch: OneLine | None = Field(default=None, description="Instead of cluster.scratch.")
    setup_lines: tuple[OneLine, ...] = Field(default=(), description="Further shell lines before the job.")
    sbatch_lines: tuple[OneLine, ...] = Field(default=(), description="Further #SBATCH options.")
    environment: dict[str, OneLine] = Field(default_factory=dict, description="Further environment variables.")
    runtime_args: tuple[OneLine, ...] = Field(default=(), description="Further options of the container runtime.")
    limits: Limits = Field(
        default_factory=Limits, description="The largest request that it takes, instead of cluster.limits."
    )
    preemptible: bool | None = Field(
        default=None,
        description="Whether its jobs may be stopped for others'; none: as SLURM's PreemptMode and PriorityTier tell.",
    )
    auto: bool = Field(default=True, description="Whether `partition: auto` may choose it.")


@dataclass(frozen=True)
class JobSettings:
    """What the site, a partition and a pipeline together say of a job."""

    account: str | None
    partition: str | None
    qos: str | None
    constraint: str | None
    gres: str | None
    scratch: str | None
    setup_lines: tuple[str, ...]
    sbatch_lines: tuple[str, ...]


def job_settings(cluster: Cluster, pipeline: PipelineSettings, *, partition: str | None) -> JobSettings:
    """Return what holds for a pipeline's jobs in a partition.

    The rule, for everything that is set in several places: the pipeline's value replaces the partition's, which
    replaces the cluster's; lists add up in the order cluster, partition, pipeline.

    Args:
        cluster: the site's settings.
        pipeline: the pipeline's settings.
        partition: the partition that the jobs go to; None where SLURM, or the site's own plugin, chooses.
    """
    own = settings_of(cluster, partition)
    return JobSettings(
        account=pipeline.account or own.account or cluster.account,
        partition=partition,
        qos=pipeline.qos or own.qos or cluster.qos,
        constraint=pipeline.constraint or own.constraint or cluster.constraint,
        gres=pipeline.gres or _with_gpus(own.gres, pipeline.gpus),
        scratch=pipeline.scratch or own.scratch or cluster.scratch,
        setup_lines=(*cluster.setup_lines, *own.setup_lines, *pipeline.setup_lines),
        sbatch_lines=(*cluster.sbatch_lines, *own.sbatch_lines, *pipeline.sbatch_lines),
    )


def containers_in(containers: Containers, cluster: Cluster, *, partition: str | None) -> Containers:
    """Return the container settings of a partition; the pipeline's own are laid over them, by the same rule."""
    own = settings_of(cluster, partition)
    return containers.model_copy(
        update={
            "runtime_args": (*containers.runtime_args, *own.runtime_args),
            "environment": {**containers.environment, **own.environment},
        }
    )


def limits_in(cluster: Cluster, partition: str | None) -> Limits:
    """Return the limits that the configuration sets in a partition, field by field."""
    own = settings_of(cluster, partition).limits
    return cluster.limits.model_copy(update=own.model_dump(exclude_none=True))


def settings_of(cluster: Cluster, partition: str | None) -> PartitionSettings:
    """Return a partition's settings; nothing is set in one that the configuration does not list."""
    return cluster.partitions.get(partition or "", PartitionSettings())


def _with_gpus(gres: str | None, gpus: int | None) -> str | None:
    """Return a partition's generic resources with the number of GPUs that a pipeline asks for."""
    if gres is None or gpus is None or not gpus_of(gres):
        return gres
    return with_gpus(gres, gpus)
