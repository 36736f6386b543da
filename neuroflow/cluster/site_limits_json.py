"""Write a site's limits as JSON, and read them back; what an older release wrote, or garbage, is left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from neuroflow.domain import Association, NodeGroup, PartitionLimits, QosLimits, Reservation, SiteLimits

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Part = TypeVar("Part", bound="DataclassInstance")


def to_json(limits: SiteLimits) -> dict[str, Any]:
    """Return a site's limits as what JSON can hold."""
    value = asdict(limits)
    for reservation in value["reservations"] or ():
        reservation |= {"start": reservation["start"].isoformat(), "end": reservation["end"].isoformat()}
    return value


def from_json(value: Mapping[str, Any]) -> SiteLimits:
    """Return the limits that `to_json` wrote; a part that can't be read is None, as if SLURM had not answered."""
    return SiteLimits(
        max_array_size=_whole(value.get("max_array_size")),
        max_job_count=_whole(value.get("max_job_count")),
        min_job_age_seconds=_whole(value.get("min_job_age_seconds")),
        preempts_by_tier=value.get("preempts_by_tier") is not False,
        partitions=_by_name(PartitionLimits, value.get("partitions")),
        nodes=_nodes(value.get("nodes")),
        groups=_words(value.get("groups")),
        associations=_listed(Association, value.get("associations")),
        qos=_by_name(QosLimits, value.get("qos")),
        reservations=_listed(Reservation, value.get("reservations")),
    )


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _words(value: Any) -> tuple[str, ...] | None:
    return tuple(map(str, value)) if isinstance(value, (list, tuple)) else None


def _nodes(value: Any) -> dict[str, tuple[NodeGroup, ...]] | None:
    if not isinstance(value, dict):
        return None
    return {name: _listed(NodeGroup, groups) or () for name, groups in value.items()}


def _by_name(part: type[Part], value: Any) -> dict[str, Part] | None:
    if not isinstance(value, dict):
        return None
    made = {name: _made(part, one) for name, one in value.items()}
    return {name: one for name, one in made.items() if one is not None}


def _listed(part: type[Part], value: Any) -> tuple[Part, ...] | None:
    if not isinstance(value, (list, tuple)):
        return None
    return tuple(one for one in (_made(part, item) for item in value) if one is not None)


def _made(part: type[Part], value: Any) -> Part | None:
    names = {field.name for field in fields(part)}
    try:
        own: dict[str, Any] = {
            name: tuple(one) if isinstance(one, list) else one for name, one in value.items() if name in names
        }
        if part is Reservation:
            own |= {name: datetime.fromisoformat(value[name]) for name in ("start", "end")}
        return part(**own)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
