"""Whether neuroflow is at work: what the last poll and scan left, and when the next ones are due."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from typing import Any

from neuroflow.config.cron import next_time
from neuroflow.orchestrator.keys import POLL_KEY, SCAN_KEY
from neuroflow.orchestrator.services import Services
from neuroflow.views.why_answer import Life
from neuroflow.views.why_words import moment, span

# A site may call `neuroflow tick` every quarter of an hour, from a crontab.
PATIENCE = timedelta(minutes=20)
# After this long without a look, something may be wrong where nothing but such a crontab drives it.
DOUBT = timedelta(minutes=3)
_INTERVALS = 3
_FULL_GB = 1.0
_GB = 1e9


def life(services: Services, *, up: bool | None) -> Life:
    """Say whether somebody looks after the runs.

    Args:
        up: whether the services of this state folder are seen to run, None where that can't be told.
    """
    now = services.clock()
    poll = services.state.get_value(POLL_KEY)
    scan = services.state.get_value(SCAN_KEY)
    value: dict[str, Any] = {} if poll is None else dict(poll[0])
    last = None if not value.get("at") else datetime.fromtimestamp(value["at"], UTC)
    interval = _interval(services, value)
    silent = last is None or now - last > max(_INTERVALS * interval, PATIENCE)
    works = not silent
    notes = [*_silence(last, now, up=up)] if silent else []
    late = last is not None and now - last > max(_INTERVALS * interval, DOUBT)
    steady = works and (up or (up is None and not late))
    if last is not None and works and not steady:
        notes.append(
            f"the last look at the jobs was {span((now - last).total_seconds())} ago: unless `neuroflow up`, its "
            "services, or a crontab with `neuroflow tick` run, nothing will happen"
        )
    notes += [f"the last look at the jobs was not complete: {error}" for error in value.get("errors", [])[:3]]
    if services.workers_are_outdated():
        notes.append("the workers run with an older configuration: `neuroflow up` takes a new one on SIGHUP")
    notes += _full_disks(services)
    return Life(
        works=works,
        last_poll=last,
        next_poll=max(last + interval, now) if last is not None and steady else None,
        next_scan=_next_hour(now) if steady and scan is not None else None,
        next_pass=next_time(services.config.workflow.schedule, now) if steady else None,
        notes=tuple(notes),
        steady=steady,
    )


def _interval(services: Services, value: dict[str, Any]) -> timedelta:
    """Return the time between two polls: SLURM is asked at a pace of its own, this machine at every look."""
    base = services.config.cluster.poll_seconds
    own = float(value.get("interval_seconds") or base)
    return timedelta(seconds=own if services.config.cluster.kind == "slurm" else base)


def _silence(last: datetime | None, now: datetime, *, up: bool | None) -> list[str]:
    if up:
        since = "not yet" if last is None else f"last {span((now - last).total_seconds())} ago, at {moment(last)}"
        return [f"`neuroflow up` runs, but looked at the jobs {since}: `neuroflow up --status` tells what is wrong"]
    if last is None:
        return ["neuroflow has not looked at any job yet: nothing will happen until `neuroflow up` runs"]
    ago = span((now - last).total_seconds())
    return [
        f"neuroflow looked at the jobs last {ago} ago, at {moment(last)}, and does not seem to run: "
        "nothing will happen until `neuroflow up` runs (or `neuroflow tick`)"
    ]


def _full_disks(services: Services) -> list[str]:
    """Name the folders without room, of those on this machine."""
    if services.config.cluster.is_remote:
        return []
    found = []
    for name in ("state_dir", "work_root", "bids_root", "derivatives_root"):
        path = getattr(services.config.paths, name)
        try:
            free = shutil.disk_usage(path).free / _GB
        except OSError:  # not made yet, or not to be seen from here
            continue
        if free < _FULL_GB:
            found.append(f"the disk is full: paths.{name} ({path}) has {free:.1f} GB left")
    return found


def _next_hour(now: datetime) -> datetime:
    """Return when beat scans next: at the full hour."""
    return now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
