"""Whether a job may go to a partition at all: by the configuration, and by what SLURM says of accounts and groups."""

from __future__ import annotations

from neuroflow.config.partitions import JobSettings, PartitionSettings
from neuroflow.domain import PartitionLimits, SiteLimits

# Parts of PreemptMode that stop no job for another: https://slurm.schedmd.com/slurm.conf.html#OPT_PreemptMode
_HARMLESS_MODES = frozenset({"", "OFF", "GANG", "WITHIN"})


def refusal(site: SiteLimits, job: JobSettings, own: PartitionSettings, *, preemptible_too: bool) -> str:
    """Say why `auto` must not choose the partition of a job; nothing where it may.

    Args:
        site: what SLURM said; what it did not say forbids nothing.
        job: what holds for the job in that partition.
        own: the partition's settings.
        preemptible_too: whether the job may be stopped for others'.
    """
    name = job.partition or ""
    if not own.auto:
        return "its settings say `auto: false`"
    if site.partitions is not None and name not in site.partitions:
        return "SLURM lists no such partition"
    known = (site.partitions or {}).get(name, PartitionLimits())
    if not preemptible_too and _is_preemptible(site, known, own):
        return "its jobs may be stopped for others'"
    return _no_account(site, job, known) or _no_qos(site, job, known) or _no_group(site, known)


def _is_preemptible(site: SiteLimits, known: PartitionLimits, own: PartitionSettings) -> bool:
    if own.preemptible is not None:
        return own.preemptible
    stops_jobs = bool(set(known.preempt_mode.split(",")) - _HARMLESS_MODES)
    return (
        site.preempts_by_tier
        and stops_jobs
        and any(other.tier > known.tier for other in (site.partitions or {}).values())
    )


def _no_account(site: SiteLimits, job: JobSettings, known: PartitionLimits) -> str:
    own = [one for one in site.associations or () if job.account in (None, one.account)]
    names = {job.account} if job.account else {one.account for one in own}
    allowed = names if known.accounts is None else names & set(known.accounts)
    if names and not allowed - set(known.denied_accounts):
        return f"not for account {', '.join(sorted(names))}"
    if own and not any(one.partition in ("", job.partition) for one in own):
        return "the user's accounts are for other partitions"
    return ""


def _no_qos(site: SiteLimits, job: JobSettings, known: PartitionLimits) -> str:
    names = {job.qos} if job.qos else {one.default_qos for one in site.associations or () if one.default_qos}
    allowed = names if known.qos_names is None else names & set(known.qos_names)
    return f"not for QOS {', '.join(sorted(names))}" if names and not allowed - set(known.denied_qos) else ""


def _no_group(site: SiteLimits, known: PartitionLimits) -> str:
    if known.groups is None or site.groups is None or set(known.groups) & set(site.groups):
        return ""
    return f"for the groups {', '.join(known.groups)} only"
