"""Whether worker and beat live, by what their files and the database say: Redis is not asked, nothing is written."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from neuroflow.cluster.process_table import is_alive

# `neuroflow up` writes its file every 15 s; one on another host that wrote nothing for this long is gone.
SILENT = timedelta(minutes=3)
# How much later than its last status a child of it may have given a sign.
STATUS_GAP = timedelta(minutes=1)
# Beat wakes up every five minutes at the latest, whatever its schedule.
BEAT_SILENT = timedelta(minutes=10)
# A site without services may have cron call `neuroflow tick` only now and then.
POLL_LATE = timedelta(minutes=15)


@dataclass(frozen=True)
class ServiceHealth:
    """One child of `neuroflow up`."""

    name: str
    state: str
    health: str  # as it last was: well, silent, unknown


@dataclass(frozen=True)
class ServicesHealth:
    """What is known of the services."""

    up: bool | None  # whether a `neuroflow up` runs; None: this user may not see
    host: str = ""
    pid: int | None = None
    user: str = ""
    started_at: str = ""
    ready: bool | None = None
    redis_answers: bool | None = None
    children: tuple[ServiceHealth, ...] = ()
    beat_seen_at: datetime | None = None
    worker_started_at: datetime | None = None  # the last one that was started
    up_seen_at: datetime | None = None  # when a `neuroflow up` last wrote its status
    run: bool = False  # whether any seem to run: those of `neuroflow up`, or a beat that was started otherwise


def services_health(state_dir: Path, *, worker_started_at: datetime | None, now: datetime) -> ServicesHealth:
    """Read the files that `neuroflow up` and beat leave in the state folder."""
    beat = _beat_seen_at(state_dir)
    try:
        holder = _json(state_dir / "up.lock")
        report = _json(state_dir / "up.json")
    except PermissionError:
        return ServicesHealth(None, beat_seen_at=beat, worker_started_at=worker_started_at, run=_is_new(beat, now))
    written_at = report.get("written_at")
    seen = datetime.fromtimestamp(written_at, UTC) if isinstance(written_at, int | float) else None
    if not _lives(holder, seen, now):
        # A beat that fell silent together with a `neuroflow up` was a child of it.
        other_beat = beat is not None and (seen is None or beat - seen > STATUS_GAP)
        return ServicesHealth(
            False,
            beat_seen_at=beat,
            worker_started_at=worker_started_at,
            up_seen_at=seen,
            run=other_beat and _is_new(beat, now),
        )
    children = [one for one in report.get("services", ()) if isinstance(one, Mapping)]
    return ServicesHealth(
        up=True,
        host=str(holder.get("host", "")),
        pid=holder["pid"] if isinstance(holder.get("pid"), int) else None,
        user=str(holder.get("user", "")),
        started_at=str(report.get("started_at", "")),
        ready=_flag(report.get("ready")),
        redis_answers=_flag(report.get("redis_answers")),
        children=tuple(
            ServiceHealth(str(one.get("name")), str(one.get("state")), str(one.get("health", "unknown")))
            for one in children
        ),
        beat_seen_at=beat,
        worker_started_at=worker_started_at,
        up_seen_at=seen,
        run=True,
    )


def services_run(state_dir: Path, *, now: datetime) -> bool | None:
    """Tell whether the services are seen to run; None where this user may not look."""
    health = services_health(state_dir, worker_started_at=None, now=now)
    return None if health.up is None and not health.run else health.run


def poll_is_late(poll: Mapping[str, Any] | None, *, in_flight: int, now: datetime) -> bool:
    """Tell whether jobs are in flight that nobody has looked at for long."""
    if not in_flight:
        return False
    if poll is None:
        return True
    due = datetime.fromtimestamp(float(poll.get("next_at", 0.0)), UTC)
    return now - due > max(POLL_LATE, timedelta(seconds=5 * float(poll.get("interval_seconds", 0.0))))


def _is_new(beat: datetime | None, now: datetime) -> bool:
    return beat is not None and now - beat < BEAT_SILENT


def _lives(holder: Mapping[str, Any], seen: datetime | None, now: datetime) -> bool:
    """Tell whether the process that the lock names lives: by the process table, of another host by its file's age."""
    process = holder.get("process")
    if holder.get("host") == socket.gethostname() and isinstance(process, str):
        return is_alive(process)
    return bool(holder) and seen is not None and now - seen < SILENT


def _beat_seen_at(state_dir: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp((state_dir / "beat.alive").stat().st_mtime, UTC)
    except OSError:
        return None


def _json(path: Path) -> dict[str, Any]:
    """Read an object that may be half written, or not there.

    Raises:
        PermissionError: when this user may not read it.
    """
    try:
        value = json.loads(path.read_bytes() or b"{}")
    except PermissionError:
        raise
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None
