"""Choose account, QOS and partition for a new site file from what SLURM said; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from neuroflow.cluster.survey_slurm import SlurmFacts
from neuroflow.config.execution import Limits
from neuroflow.config.partitions import JobSettings, PartitionSettings
from neuroflow.domain import NodeGroup, PartitionLimits, Resources
from neuroflow.domain.gres import gpus_of
from neuroflow.orchestrator.access import refusal
from neuroflow.orchestrator.candidates import Candidate

# What sites call partitions whose jobs may be stopped, and those of GPU nodes: asked only where SLURM doesn't tell.
_SOUNDS_PREEMPTIBLE = re.compile(r"preempt|spot|scaveng|requeue|interrupt|ckpt|backfill|(?:^|[_-])free", re.IGNORECASE)
_SOUNDS_LIKE_GPU = re.compile(r"gpu|cuda|(?:^|[_-])(?:[avph]100|h200|l40s?|gh200|mi[23]\d0)", re.IGNORECASE)
# Sites keep these for short tests or for people at a terminal, even where their limits would do.
_SOUNDS_SPECIAL = re.compile(r"debug|devel|(?:^|[_-])(?:dev|test|int|interactive|vis|viz|transfer|xfer|dtn|admin)")


@dataclass(frozen=True)
class PartitionChoice:
    """One partition, as a site file would list it."""

    name: str
    limits: Limits
    nodes: int | None
    known: PartitionLimits
    gpus: tuple[str, ...]  # generic resources of its nodes, such as gpu:a100:4
    is_for_gpus: bool
    is_preemptible: bool
    refusal: str  # why the user can't send jobs there; empty where he can
    qos: str | None = None  # that jobs have to name there, where the default one is not allowed

    @property
    def is_special(self) -> bool:
        """Tell whether its name says that it is for tests, or for people at a terminal."""
        return _SOUNDS_SPECIAL.search(self.name.lower()) is not None

    @property
    def is_fit_as_default(self) -> bool:
        """Tell whether ordinary jobs may go there unasked."""
        return not (self.refusal or self.is_for_gpus or self.is_preemptible)


@dataclass(frozen=True)
class SiteChoice:
    """What a new site file says; None where nothing could be chosen."""

    account: str | None
    qos: str | None  # None: SLURM's own default is right
    default_qos: str
    partition: PartitionChoice | None
    partitions: tuple[PartitionChoice, ...]


def choose(facts: SlurmFacts, *, request: Resources) -> SiteChoice:
    """Choose what suits a request: never a partition of GPUs, and never one whose jobs may be stopped."""
    account = choose_account(facts)
    default_qos, qos = choose_qos(facts, account=account)
    job = JobSettings(account, None, qos, None, None, None, (), ())
    known = facts.site.partitions or {}
    found = tuple(_partition(facts, replace(job, partition=name)) for name in known)
    return SiteChoice(account, qos, default_qos, _best(found, request), found)


def choose_account(facts: SlurmFacts) -> str | None:
    """Return the user's default account, or else the first one."""
    names = [one.account for one in facts.site.associations or ()]
    if facts.default_account and facts.default_account in (*names, *([] if names else [facts.default_account])):
        return facts.default_account
    return names[0] if names else None


def choose_qos(facts: SlurmFacts, *, account: str | None) -> tuple[str, str | None]:
    """Return the account's default QOS, and one to name instead of it where its jobs may be stopped."""
    default = next((one.default_qos for one in facts.site.associations or () if one.account == account), "")
    if default not in (facts.preempted_qos or ()):
        return default, None
    others = [name for name in facts.qos_of.get(account or "", ()) if name not in (facts.preempted_qos or ())]
    return default, others[0] if others else None


def _partition(facts: SlurmFacts, job: JobSettings) -> PartitionChoice:
    name = job.partition or ""
    known = (facts.site.partitions or {})[name]
    groups = None if facts.site.nodes is None else facts.site.nodes.get(name)
    asked, (job, refused) = job, _with_allowed_qos(facts, job)
    limits = _limits(facts, job, groups)
    candidate = Candidate(name=name, limits=limits, nodes=groups)
    return PartitionChoice(
        name=name,
        limits=limits,
        nodes=known.nodes,
        known=known,
        gpus=tuple(sorted({group.gres for group in groups or () if gpus_of(group.gres)})),
        is_for_gpus=candidate.is_for_gpus if groups else _sounds_like_gpu(facts, name),
        is_preemptible=_is_preemptible(facts, known, job),
        refusal=_state(known) or refused,
        qos=None if job.qos == asked.qos else job.qos,
    )


def _with_allowed_qos(facts: SlurmFacts, job: JobSettings) -> tuple[JobSettings, str]:
    """Return the job, with another QOS where the partition does not take the default one, and what still forbids it."""
    refused = refusal(facts.site, job, PartitionSettings(), preemptible_too=True)
    for name in facts.qos_of.get(job.account or "", ()) if refused else ():
        other = replace(job, qos=name)
        if name not in (facts.preempted_qos or ()) and not refusal(
            facts.site, other, PartitionSettings(), preemptible_too=True
        ):
            return other, ""
    return job, refused


def _sounds_like_gpu(facts: SlurmFacts, name: str) -> bool:
    return name in facts.with_gpus or _SOUNDS_LIKE_GPU.search(name) is not None


def _state(known: PartitionLimits) -> str:
    return "" if known.state == "UP" else f"it is {known.state}"


def _is_preemptible(facts: SlurmFacts, known: PartitionLimits, job: JobSettings) -> bool:
    kind = facts.settings.get("PreemptType", "").removeprefix("preempt/")
    # A partition with a QOS of its own may have one that is preempted, where nobody says which are.
    unknown = {known.qos} - {""} if facts.preempted_qos is None and kind != "none" else frozenset()
    if known.qos in (facts.preempted_qos or unknown):
        return True
    if kind in ("none", "qos"):
        return False
    if kind != "partition_prio" and _SOUNDS_PREEMPTIBLE.search(job.partition or ""):
        return True
    asked = refusal(facts.site, job, PartitionSettings(), preemptible_too=False)
    return asked != refusal(facts.site, job, PartitionSettings(), preemptible_too=True)


def _limits(facts: SlurmFacts, job: JobSettings, groups: tuple[NodeGroup, ...] | None) -> Limits:
    """Return the most that a job may ask for: of the largest node, the partition, its QOS, and the user's account."""
    site, name = facts.site, job.partition or ""
    known = (site.partitions or {})[name]
    own = [one for one in site.associations or () if one.account == job.account and one.partition in ("", name)]
    qos = {known.qos, job.qos or next((one.default_qos for one in own), "")}
    return Limits(
        cpus=_least(known.cpus, _most(groups, "cpus")),
        memory_mb=_least(known.memory_mb, _most(groups, "memory_mb")),
        time_minutes=_least(
            known.time_minutes,
            *(one.time_minutes for one in own),
            *(one.time_minutes for key, one in (site.qos or {}).items() if key in qos),
        ),
        gpus=max((gpus_of(group.gres) for group in groups or ()), default=None),
    )


def _most(groups: tuple[NodeGroup, ...] | None, part: Literal["cpus", "memory_mb"]) -> int | None:
    return max((getattr(group, part) for group in groups or ()), default=None)


def _least(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit), default=None)


def _best(partitions: tuple[PartitionChoice, ...], request: Resources) -> PartitionChoice | None:
    fit = [one for one in partitions if one.is_fit_as_default]
    return min(fit, key=lambda one: _rank(one, request), default=None)


def _rank(one: PartitionChoice, request: Resources) -> tuple[bool, bool, bool, bool, int, str]:
    limits: Mapping[str, int | None] = one.limits.model_dump()
    takes_it = all(
        limits[part] is None or limits[part] >= getattr(request, part) for part in ("cpus", "memory_mb", "time_minutes")
    )
    return (not takes_it, one.is_special, not one.known.is_default, bool(one.gpus), -(one.nodes or 0), one.name)
