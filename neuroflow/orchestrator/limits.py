"""What a job may ask for, how many may be submitted, and whether maintenance is in their way: pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from neuroflow.config.execution import Limits
from neuroflow.domain import Association, PartitionLimits, QosLimits, Reservation, SiteLimits

# SLURM's own name of the QOS that a job gets if nobody says another.
DEFAULT_QOS = "normal"


def effective_limits(configured: Limits, site: SiteLimits, *, partition: str | None, qos: str | None = None) -> Limits:
    """Return the largest request that both the configuration and SLURM itself allow.

    Args:
        configured: `cluster.limits`.
        site: what SLURM said; what it did not say limits nothing.
        partition: the job's partition, None for the default one.
        qos: the job's QOS, whose time limit counts as well; None to leave it out.
    """
    own = _partition(site, partition)
    of_qos = [(site.qos or {}).get(name, QosLimits()).time_minutes for name in (qos, own.qos) if name]
    return Limits(
        cpus=_smallest(configured.cpus, own.cpus),
        memory_mb=_smallest(configured.memory_mb, own.memory_mb),
        time_minutes=_smallest(configured.time_minutes, own.time_minutes, *of_qos),
    )


def submit_limit(
    site: SiteLimits, *, account: str | None, partition: str | None, qos: str | None
) -> tuple[int, str] | None:
    """Return how many jobs the user may have at once, and whose limit that is; None without a limit."""
    limits: list[tuple[int | None, str]] = []
    association = _association(site, account, partition)
    if association is not None:
        limits.append((association.max_submit, f"MaxSubmitJobs of account {association.account}"))
        limits.append((association.group_submit, f"GrpSubmitJobs of account {association.account}"))
    own_qos = qos or (association.default_qos if association is not None else "") or DEFAULT_QOS
    for name in dict.fromkeys((own_qos, _partition(site, partition).qos)):
        of_qos = (site.qos or {}).get(name, QosLimits())
        limits.append((of_qos.max_submit_per_user, f"MaxSubmitJobsPerUser of QOS {name}"))
        limits.append((of_qos.max_submit_per_account, f"MaxSubmitJobsPerAccount of QOS {name}"))
        limits.append((of_qos.group_submit, f"GrpSubmitJobs of QOS {name}"))
    return min(((number, whose) for number, whose in limits if number is not None), default=None)


def free_submissions(
    site: SiteLimits, *, jobs_in_queue: int, account: str | None, partition: str | None, qos: str | None
) -> tuple[int, str] | None:
    """Return how many more jobs may be submitted, and why no more; None where no limit is known.

    Args:
        site: what SLURM said.
        jobs_in_queue: the user's jobs that wait or run, elements of arrays one by one, whoever submitted them.
        account: the jobs' account, None for the only one.
        partition: the jobs' partition, None for the default one.
        qos: the jobs' QOS, None for the default one.
    """
    limits = [submit_limit(site, account=account, partition=partition, qos=qos)]
    if site.max_job_count is not None:
        limits.append((site.max_job_count, "MaxJobCount of the cluster"))
    known = [limit for limit in limits if limit is not None]
    if not known:
        return None
    limit, whose = min(known)
    return max(0, limit - jobs_in_queue), f"{whose} is {limit}, and {jobs_in_queue} jobs are in the queue"


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
