"""Gather what the metrics tell, from the database, the disks and the broker."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from neuroflow.core import schema
from neuroflow.domain import CallStatistics
from neuroflow.domain.tallies import AttemptTallies, StateCounts
from neuroflow.orchestrator.keys import BACKUP_KEY, POLL_KEY

if TYPE_CHECKING:
    from neuroflow.config import NeuroflowConfig
    from neuroflow.orchestrator.services import Services

# A network file system that is away would otherwise hang whoever asks.
DISK_SECONDS = 5.0


@dataclass(frozen=True)
class BrokerState:
    """What waits in Redis, and who works for it."""

    queues: Mapping[str, int]  # messages that no worker has taken yet
    workers: int | None = None  # that answered; None: they were not asked


@dataclass(frozen=True)
class Disk:
    """A folder's file system (bytes)."""

    free: int
    size: int


@dataclass(frozen=True)
class Facts:
    """Everything that the metrics tell."""

    at: float  # seconds since the epoch
    revision: str
    counts: StateCounts
    tallies: AttemptTallies
    calls: tuple[CallStatistics, ...]
    call_buckets: Mapping[str, Mapping[float, int]]
    held: Mapping[str, bool]  # every pipeline
    poll: Mapping[str, float] = field(default_factory=dict)  # what the last look at the cluster left
    backup: Mapping[str, float] = field(default_factory=dict)  # the last one
    backup_hours: float = 0.0  # what is asked for; 0: none
    disks: Mapping[str, Disk] = field(default_factory=dict)  # by key of `paths`
    broker: BrokerState | None = None  # None: Redis is away


def gather(services: Services, *, broker: BrokerState | None) -> Facts:
    """Ask everything once.

    Raises:
        StateError: when the database does not answer.
    """
    state = services.state
    holds = services.holds()
    return Facts(
        at=services.clock().timestamp(),
        revision=schema.revisions()[0],
        counts=state.state_counts(),
        tallies=state.attempt_tallies(),
        calls=tuple(state.call_statistics()),
        call_buckets=state.call_buckets(),
        held={name: name in holds for name in services.registry.names()},
        poll=_numbers(services, POLL_KEY),
        backup=_numbers(services, BACKUP_KEY),
        backup_hours=services.config.database.backup.every_hours,
        disks=disks(services.config),
        broker=broker,
    )


def disks(config: NeuroflowConfig, *, seconds: float = DISK_SECONDS) -> dict[str, Disk]:
    """Return the room in the configured folders; those that don't answer in time are left out."""
    paths = config.paths
    folders = {
        "bids_root": paths.bids_root,
        "derivatives_root": paths.derivatives_root,
        "work_root": paths.work_root,
        "state_dir": paths.state_dir,
        "backups": config.backups_dir,
    }
    found: dict[str, Disk] = {}
    threads = [threading.Thread(target=_ask, args=(name, path, found), daemon=True) for name, path in folders.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds)
    return dict(found)


def _ask(name: str, path: Path, found: dict[str, Disk]) -> None:
    try:
        usage = shutil.disk_usage(path)
    except OSError:
        return
    found[name] = Disk(usage.free, usage.total)


def _numbers(services: Services, key: str) -> dict[str, float]:
    value = services.state.get_value(key)
    if value is None:
        return {}
    return {name: float(item) for name, item in value[0].items() if isinstance(item, int | float)}
