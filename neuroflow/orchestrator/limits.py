"""What a job may ask for, how many may be submitted, and whether maintenance is in their way: pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from neuroflow.config.execution import Limits
from neuroflow.domain import Association, PartitionLimits, QosLimits, Reservation, SiteLimits

# SLURM's own name of the QOS that a job gets if nobody says another.
DEFAULT_QOS = "normal"


def effective_limits(
    configured: Limits,
    site: SiteLimits,
    *,
    partition: str | None,
    qos: str | None = None,
    account: str | None = None,
) -> Limits:
    """Return the largest request that both the configuration and SLURM itself allow.

    Args:
        configured: what the configuration allows.
        site: what SLURM said; what it did not say limits nothing.
        partition: the job's partition, None for the default one.
        qos: the job's QOS, whose time limit counts as well; None to leave it out.
        account: the job's account, whose time limit counts as well; None for the only one.
    """
    own = _partition(site, partition)
    of_qos = [(site.qos or {}).get(name, QosLimits()).time_minutes for name in (qos, own.qos) if name]
    association = _association(site, account, partition)
    of_account = None if association is None else association.time_minutes
    return Limits(
        gpus=configured.gpus,
        cpus=_smallest(configured.cpus, own.cpus),
        memory_mb=_smallest(configured.memory_mb, own.memory_mb),
        time_minutes=_smallest(configured.time_minutes, own.time_minutes, *of_qos, of_account),
    )


@dataclass(frozen=True)
class SubmitLimit:
    """How many jobs may be submitted at once, whose limit that is, and which jobs count."""

    number: int
    whose: str
    account: str | None = None  # only jobs of this account count; None: of all
    qos: str | None = None  # only jobs of this QOS count; None: of all

    def used(self, queue: Mapping[tuple[str, str], int]) -> int:
        """Return how many jobs count, of those in the queue by account and QOS."""
        return sum(
            count
            for (account, qos), count in queue.items()
            if self.account in (None, account) and self.qos in (None, qos)
        )


def submit_limits(
    site: SiteLimits, *, account: str | None, partition: str | None, qos: str | None
) -> tuple[SubmitLimit, ...]:
    """Return the limits that apply to jobs of an account, a partition and a QOS."""
    found: list[tuple[int | None, str, str | None, str | None]] = []
    association = _association(site, account, partition)
    if association is not None:
        name = association.account
        found.append((association.max_submit, f"MaxSubmitJobs of account {name}", name, None))
        found.append((association.group_submit, f"GrpSubmitJobs of account {name}", name, None))
    own_qos = qos or (association.default_qos if association is not None else "") or DEFAULT_QOS
    for name in dict.fromkeys((own_qos, _partition(site, partition).qos)):
        of_qos = (site.qos or {}).get(name, QosLimits())
        # The QOS of a partition counts jobs that bear another QOS themselves.
        counted = name if name == own_qos else None
        found.append((of_qos.max_submit_per_user, f"MaxSubmitJobsPerUser of QOS {name}", None, counted))
        found.append((of_qos.max_submit_per_account, f"MaxSubmitJobsPerAccount of QOS {name}", None, counted))
        found.append((of_qos.group_submit, f"GrpSubmitJobs of QOS {name}", None, counted))
    found.append((site.max_job_count, "MaxJobCount of the cluster", None, None))
    return tuple(
        SubmitLimit(number, whose, account=of_account, qos=of_qos_name)
        for number, whose, of_account, of_qos_name in found
        if number is not None
    )


def free_submissions(
    site: SiteLimits,
    *,
    queue: Mapping[tuple[str, str], int],
    since: int = 0,
    account: str | None,
    partition: str | None,
    qos: str | None,
) -> tuple[int, str] | None:
    """Return how many more jobs may be submitted, and why no more; None where no limit is known.

    Args:
        site: what SLURM said.
        queue: the user's jobs that wait or run, elements of arrays one by one, by account and QOS.
        since: jobs that were submitted after those were counted.
        account: the jobs' account, None for the only one.
        partition: the jobs' partition, None for the default one.
        qos: the jobs' QOS, None for the default one.
    """
    rooms = []
    for limit in submit_limits(site, account=account, partition=partition, qos=qos):
        used = limit.used(queue) + since
        words = f"{limit.whose} is {limit.number}, and {used} jobs are in the queue"
        rooms.append((max(0, limit.number - used), words))
    return min(rooms, default=None)


def before_maintenance(
    reservations: Iterable[Reservation], *, now: datetime, time_minutes: int, partition: str | None
) -> Reservation | None:
    """Return the first maintenance that begins before a job of that length could end; None if it could.

    Args:
        reservations: of the site; one that takes some of a partition's nodes leaves others for the job.
        now: the present time.
        time_minutes: the job's time limit, which SLURM goes by.
        partition: the job's partition, None where it is not known.
    """
    end = now + timedelta(minutes=time_minutes)
    in_the_way = [
        one
        for one in reservations
        if one.is_maintenance and one.start < end and one.end > now and (one.all_nodes or partition in one.partitions)
    ]
    return min(in_the_way, key=lambda one: one.start, default=None)


def _partition(site: SiteLimits, wanted: str | None) -> PartitionLimits:
    name = site.partition_name(wanted)
    return (site.partitions or {}).get(name or "", PartitionLimits())


def _association(site: SiteLimits, account: str | None, partition: str | None) -> Association | None:
    """Return the association that a job falls under; None where that can't be told."""
    own = [one for one in site.associations or () if account is None or one.account == account]
    if len({one.account for one in own}) != 1:
        return None  # which of several accounts is the user's default was not asked
    name = site.partition_name(partition)
    of_partition = [one for one in own if one.partition and one.partition == name]
    return next((one for one in (*of_partition, *(one for one in own if not one.partition))), None)


def _smallest(*limits: int | None) -> int | None:
    # A partition of less than a minute takes no job of ours; the smallest request is one of anything.
    return min((max(1, limit) for limit in limits if limit is not None), default=None)
