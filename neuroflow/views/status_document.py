"""The status as a document: what `--json` writes, and what the poller leaves in a file.

`neuroflow/views/status.schema.json` says what stands in it. A field that changes its meaning, or goes, makes a new
schema number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuroflow import __version__

if TYPE_CHECKING:
    from neuroflow.domain.overview import RunFilter, RunLine
    from neuroflow.views.status import PipelineStatus, SlurmCalls, Status
    from neuroflow.views.status_pace import TimeLeft

SCHEMA = 2
SCHEMA_FILE = Path(__file__).with_name("status.schema.json")


def document(status: Status) -> dict[str, Any]:
    """Return a status as JSON can have it."""
    found: dict[str, Any] = {
        "schema": SCHEMA,
        "neuroflow": __version__,
        "at": status.at,
        "pipelines": [_pipeline(one) for one in status.pipelines],
        "sessions": {str(name): count for name, count in status.sessions.items()},
        "time_left": _time_left(status.time_left),
        "failed": {"runs": status.failures.runs, "groups": [asdict(one) for one in status.failures.groups]},
        "waiting": asdict(status.waiting),
        "out_of_date_at": status.out_of_date_at,
        "queue": [asdict(one) for one in status.queue],
        "held": status.held,
        "changed_images": [asdict(one) for one in status.changed_images],
        "last_poll": status.last_poll,
        "poll_is_late": status.poll_is_late,
        "last_backup": status.last_backup,
        "services": asdict(status.services),
        "workers_outdated": status.workers_outdated,
        "undelivered": status.undelivered,
        "slurm": _slurm(status.slurm),
        "filter": _filter(status.wanted),
    }
    if status.runs is not None:
        found |= {"runs": [_run(one) for one in status.runs], "runs_total": status.runs_total}
    plain: dict[str, Any] = _plain(found)
    return plain


def _pipeline(one: PipelineStatus) -> dict[str, Any]:
    pace = one.pace
    return {
        "pipeline": one.pipeline,
        "level": one.level,
        "enabled": one.enabled,
        "held": one.held is not None,
        "max_concurrent": one.max_concurrent,
        "total": one.total,
        **{str(standing): count for standing, count in one.counts.items()},
        "out_of_date": None if one.out_of_date is None else one.out_of_date.total,
        "out_of_date_blocked": None if one.out_of_date is None else one.out_of_date.blocked,
        "not_started": one.not_started,
        "completed_24h": None if pace is None else pace.completed_24h,
        "completed_7d": None if pace is None else pace.completed_7d,
        "completed_14d": None if pace is None else pace.completed_14d,
        "failed_7d": None if pace is None else pace.failed_7d,
        "median_hours": None if pace is None or pace.median_hours is None else round(pace.median_hours, 4),
        "time_left": None if pace is None else _time_left(pace.left),
    }


def _time_left(left: TimeLeft | None) -> dict[str, Any] | None:
    return None if left is None else asdict(left)


def _slurm(slurm: SlurmCalls | None) -> dict[str, Any] | None:
    if slurm is None:
        return None
    return {
        "calls_per_minute": slurm.per_minute,
        "calls_left": round(slurm.left, 1),
        "programs": [
            {
                "program": item.program,
                "calls": item.calls,
                "failures": item.failures,
                "mean_seconds": round(item.seconds / max(item.calls, 1), 3),
                "last_seconds": round(item.last_seconds, 3),
            }
            for item in slurm.programs
        ],
    }


def _filter(wanted: RunFilter) -> dict[str, Any]:
    return {
        "subjects": wanted.subjects,
        "sessions": wanted.sessions,
        "pipelines": wanted.pipelines,
        "status": [*wanted.standings, *wanted.words],
        "since": wanted.since,
    }


def _run(line: RunLine) -> dict[str, Any]:
    return {"scope": line.scope, **asdict(line)}


def _plain(value: Any) -> Any:
    """Turn times, enums and tuples into what JSON knows."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
