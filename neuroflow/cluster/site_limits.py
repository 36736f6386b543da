"""Ask SLURM what it takes: build the command lines, and read the answers, without touching it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

from neuroflow.domain import Association, NodeGroup, PartitionLimits, QosLimits, Reservation, SiteLimits

CONFIG_COMMAND = ("scontrol", "show", "config")
PARTITIONS_COMMAND = ("scontrol", "-o", "show", "partition")
# One line for each kind of node in each partition: %c and %m are what the configuration says that a node has.
NODES_COMMAND = ("sinfo", "-h", "-e", "-o", "%R|%c|%m|%G|%D|%f")
GROUPS_COMMAND = ("id", "-Gn")
# SLURM_TIME_FORMAT makes times seconds since the epoch, whatever the cluster's zone.
RESERVATIONS_COMMAND = ("env", "SLURM_TIME_FORMAT=%s", "scontrol", "-o", "show", "reservation")
_ASSOCIATION_FIELDS = ("Account", "Partition", "DefaultQOS", "MaxSubmit", "GrpSubmit", "MaxWall")
_QOS_FIELDS = ("Name", "MaxSubmitPU", "MaxSubmitPA", "GrpSubmit", "MaxWall")
QOS_COMMAND = ("sacctmgr", "-nP", "show", "qos", f"format={','.join(_QOS_FIELDS)}")

_SETTING = re.compile(r"^(\w+)\s*=\s*(\d{1,18})(?:\s+sec)?\s*$", re.ASCII | re.MULTILINE)
_FIELD = re.compile(r"(?:^|\s)(\w+)=(\S*)", re.ASCII)
_TIME = re.compile(r"(?:(\d{1,9})-)?(\d{1,9})(?::(\d{1,2}))?(?::(\d{1,2}))?", re.ASCII)
_OTHER_PREEMPTION = re.compile(r"^PreemptType\s*=\s*(?:preempt/)?(?:qos|none)\s*$", re.MULTILINE)
_LATEST_SECONDS = 253402300800  # the year 10000: later moments can't be shown
_MINUTES_PER_DAY = 24 * 60


class ConfigLimits(NamedTuple):
    """What the controller's own configuration limits."""

    max_array_size: int | None
    max_job_count: int | None
    min_job_age_seconds: int | None
    preempts_by_tier: bool


def associations_command(user: str) -> tuple[str, ...]:
    """Build the call that lists a user's accounts with their limits, those inherited included."""
    return ("sacctmgr", "-nP", "show", "assoc", f"user={user}", f"format={','.join(_ASSOCIATION_FIELDS)}")


def parse_config(text: str) -> ConfigLimits:
    """Read `scontrol show config`."""
    found = {name: int(number) for name, number in _SETTING.findall(text)}
    # https://slurm.schedmd.com/slurm.conf.html#OPT_PreemptType
    by_tier = _OTHER_PREEMPTION.search(text) is None
    return ConfigLimits(found.get("MaxArraySize"), found.get("MaxJobCount"), found.get("MinJobAge"), by_tier)


def parse_partitions(text: str) -> tuple[dict[str, PartitionLimits], dict[str, str]]:
    """Read `scontrol -o show partition`; return the limits and the nodes, as SLURM writes them, by name."""
    limits: dict[str, PartitionLimits] = {}
    nodes: dict[str, str] = {}
    for line in text.splitlines():
        fields = _fields(line)
        name = fields.get("PartitionName", "")
        if not name:
            continue
        limits[name] = PartitionLimits(
            time_minutes=minutes(fields.get("MaxTime", "")),
            memory_mb=_memory(fields),
            cpus=_number(fields.get("MaxCPUsPerNode", "")),
            nodes=_number(fields.get("TotalNodes", "")),
            qos="" if fields.get("QoS", "N/A") == "N/A" else fields["QoS"],
            is_default=fields.get("Default") == "YES",
            state=fields.get("State", "UP"),
            preempt_mode=fields.get("PreemptMode", "OFF"),
            tier=_number(fields.get("PriorityTier", "")) or 1,
            accounts=_names(fields.get("AllowAccounts", "ALL")),
            qos_names=_names(fields.get("AllowQos", "ALL")),
            groups=_names(fields.get("AllowGroups", "ALL")),
            denied_accounts=_names(fields.get("DenyAccounts", "")) or (),
            denied_qos=_names(fields.get("DenyQos", "")) or (),
        )
        nodes[name] = fields.get("Nodes", "")
    return limits, nodes


def are_for_groups(partitions: str) -> bool:
    """Tell whether some partition is for certain groups of users only, by `scontrol -o show partition`."""
    return any(limits.groups is not None for limits in parse_partitions(partitions)[0].values())


def parse_nodes(text: str) -> dict[str, tuple[NodeGroup, ...]]:
    """Read the kinds of nodes that each partition has."""
    found: dict[str, list[NodeGroup]] = defaultdict(list)
    for line in text.splitlines():
        name, *fields = line.strip().split("|")
        if len(fields) != 5:
            continue
        cpus, memory_mb, nodes = (_number(fields[index]) for index in (0, 1, 3))
        if name and cpus is not None and memory_mb is not None:
            gres, features = (fields[index].replace("(null)", "") for index in (2, 4))
            found[name].append(NodeGroup(cpus, memory_mb, nodes or 1, gres, _names(features) or ()))
    return {name: tuple(groups) for name, groups in found.items()}


def parse_associations(text: str) -> tuple[Association, ...]:
    """Read a user's associations."""
    rows = _rows(text, _ASSOCIATION_FIELDS)
    return tuple(
        Association(
            account=account,
            partition=partition,
            default_qos=qos,
            max_submit=_number(max_submit),
            group_submit=_number(group_submit),
            time_minutes=minutes(wall),
        )
        for account, partition, qos, max_submit, group_submit, wall in rows
        if account
    )


def parse_qos(text: str) -> dict[str, QosLimits]:
    """Read all QOS, by name."""
    return {
        name: QosLimits(_number(per_user), _number(per_account), _number(group), minutes(wall))
        for name, per_user, per_account, group, wall in _rows(text, _QOS_FIELDS)
        if name
    }


def parse_reservations(text: str, *, nodes_of: Mapping[str, str]) -> tuple[Reservation, ...]:
    """Read `scontrol -o show reservation`, asked with times as seconds; one without a known time is left out.

    Args:
        text: the answer.
        nodes_of: each partition's nodes, as SLURM writes them: a reservation of the same takes it whole.
    """
    found = []
    for line in text.splitlines():
        fields = _fields(line)
        start, end = _moment(fields.get("StartTime", "")), _moment(fields.get("EndTime", ""))
        if not fields.get("ReservationName") or start is None or end is None:
            continue
        flags = set(fields.get("Flags", "").split(","))
        nodes = fields.get("Nodes", "").replace("(null)", "")
        reservation = Reservation(
            name=fields["ReservationName"],
            start=start,
            end=end,
            is_maintenance="MAINT" in flags,
            all_nodes="ALL_NODES" in flags,
            nodes=nodes,
        )
        named = fields.get("PartitionName", "(null)") if "PART_NODES" in flags else "(null)"
        whole = {name for name, own in nodes_of.items() if reservation.all_nodes or (nodes and own == nodes)}
        found.append(replace(reservation, partitions=tuple(sorted(whole | ({named} - {"(null)"})))))
    return tuple(found)


def gathered(
    *,
    config: str | None,
    partitions: str | None,
    reservations: str | None,
    associations: str | None,
    qos: str | None,
    nodes: str | None = None,
    groups: str | None = None,
) -> SiteLimits:
    """Put SLURM's answers together; None stands for one that did not come."""
    controller = parse_config(config or "")
    limits, nodes_of = parse_partitions(partitions or "")
    return SiteLimits(
        max_array_size=controller.max_array_size,
        max_job_count=controller.max_job_count,
        min_job_age_seconds=controller.min_job_age_seconds,
        preempts_by_tier=controller.preempts_by_tier,
        partitions=None if partitions is None else limits,
        nodes=None if nodes is None else parse_nodes(nodes),
        groups=None if groups is None else tuple(groups.split()),
        associations=None if associations is None else parse_associations(associations),
        qos=None if qos is None else parse_qos(qos),
        reservations=None if reservations is None else parse_reservations(reservations, nodes_of=nodes_of),
    )


def minutes(text: str) -> int | None:
    """Read a time limit such as `2-00:00:00`, `1-12`, `00:02:30` or `90` as whole minutes; None for no limit."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    days, *rest = match.groups()
    parts = [int(part) for part in rest if part is not None]
    if days is not None:  # days-hours, days-hours:minutes, days-hours:minutes:seconds
        hours, mins = [*parts, 0][:2]
        return int(days) * _MINUTES_PER_DAY + hours * 60 + mins
    if len(parts) == 3:  # hours:minutes:seconds
        return parts[0] * 60 + parts[1]
    return parts[0]  # minutes, minutes:seconds


def _memory(fields: Mapping[str, str]) -> int | None:
    """Return the memory limit of one job's node (MiB); one per core counts where the cores are limited as well."""
    per_cpu, cpus = _number(fields.get("MaxMemPerCPU", "")), _number(fields.get("MaxCPUsPerNode", ""))
    of_cores = per_cpu * cpus if per_cpu is not None and cpus is not None else None
    return _number(fields.get("MaxMemPerNode", "")) or of_cores


def _names(text: str) -> tuple[str, ...] | None:
    """Read a list of names; None for ALL, and for none."""
    return None if text in ("", "ALL", "(null)") else tuple(text.split(","))


def _fields(line: str) -> dict[str, str]:
    return dict(_FIELD.findall(line))


def _rows(text: str, fields: tuple[str, ...]) -> list[list[str]]:
    split = [[part.strip() for part in line.split("|")] for line in text.splitlines()]
    return [row for row in split if len(row) == len(fields)]


def _number(text: str) -> int | None:
    """Read a limit; None for UNLIMITED, INFINITE, N/A, -1 (none, to some releases) and an absent one."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _moment(text: str) -> datetime | None:
    seconds = _number(text)
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None and seconds < _LATEST_SECONDS else None
