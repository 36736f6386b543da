"""What a site takes: partitions, accounts, QOS, reservations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class PartitionLimits:
    """What a partition takes at most; None where it has no limit."""

    time_minutes: int | None = None
    memory_mb: int | None = None
    cpus: int | None = None
    nodes: int | None = None
    qos: str = ""  # the partition's own, whose limits apply to every job in it
    is_default: bool = False
    state: str = "UP"
    preempt_mode: str = "OFF"
    tier: int = 1  # jobs of a higher one may preempt those of a lower one
    # Who may use it: None is everybody.
    accounts: tuple[str, ...] | None = None
    qos_names: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    denied_accounts: tuple[str, ...] = ()
    denied_qos: tuple[str, ...] = ()


@dataclass(frozen=True)
class NodeGroup:
    """Nodes of one partition that are alike."""

    cpus: int
    memory_mb: int
    nodes: int = 1
    gres: str = ""  # such as gpu:a100:4
    features: tuple[str, ...] = ()


@dataclass(frozen=True)
class Association:
    """What one of the user's accounts allows, in one partition or in all; None where it has no limit."""

    account: str
    partition: str = ""  # empty: all
    default_qos: str = ""
    max_submit: int | None = None  # jobs at once, waiting or running
    group_submit: int | None = None  # of everybody in the association
    time_minutes: int | None = None


@dataclass(frozen=True)
class QosLimits:
    """What a QOS allows; None where it has no limit."""

    max_submit_per_user: int | None = None
    max_submit_per_account: int | None = None
    group_submit: int | None = None
    time_minutes: int | None = None


@dataclass(frozen=True)
class Reservation:
    """Nodes that are set aside for a time."""

    name: str
    start: datetime
    end: datetime
    is_maintenance: bool
    all_nodes: bool
    partitions: tuple[str, ...] = ()  # that it takes whole
    nodes: str = ""  # as SLURM writes them


@dataclass(frozen=True)
class SiteLimits:
    """What the cluster itself says that it takes; None, too, where it did not say."""

    max_array_size: int | None = None  # one more than the highest index
    max_job_count: int | None = None  # of all users
    preempts_by_tier: bool = True  # and not by QOS, or never
    min_job_age_seconds: int | None = None  # how long squeue knows an ended job
    partitions: Mapping[str, PartitionLimits] | None = None
    nodes: Mapping[str, tuple[NodeGroup, ...]] | None = None  # by partition
    groups: tuple[str, ...] | None = None  # of the user; asked only where a partition is for some groups
    associations: tuple[Association, ...] | None = None
    qos: Mapping[str, QosLimits] | None = None
    reservations: tuple[Reservation, ...] | None = None

    def partition_name(self, wanted: str | None) -> str | None:
        """Return the partition that a job goes to: the wanted one, or else the default one; None if not known."""
        known = self.partitions or {}
        return wanted or next((name for name, limits in known.items() if limits.is_default), None)
