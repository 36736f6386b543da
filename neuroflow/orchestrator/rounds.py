"""One round of looking at the jobs: one process at a time, and SLURM no oftener than its pace allows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from neuroflow.orchestrator.lease import POLL_LEASE, lease
from neuroflow.orchestrator.pace import poll_interval
from neuroflow.orchestrator.reconcile import Poller, PollReport
from neuroflow.orchestrator.record import Ended
from neuroflow.orchestrator.services import POLL_KEY as POLL_KEY
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.site import refresh_site_limits, remember_queue

_QUERIES = ("squeue", "sacct")


def poll_round(
    services: Services, on_ended: Callable[[Ended], None] = lambda ended: None, *, at_once: bool = False
) -> PollReport | None:
    """Look at the jobs; None when another process does so just now."""
    with lease(services.state, POLL_LEASE) as mine:
        return look(services, on_ended, at_once=at_once) if mine else None


def look(
    services: Services, on_ended: Callable[[Ended], None] = lambda ended: None, *, at_once: bool = False
) -> PollReport:
    """Judge the open attempts, those on SLURM only when that is due; the caller holds the lease.

    Args:
        at_once: ask SLURM even before it is due, because a person waits for the answer.
    """
    before = _last(services)
    asks = at_once or services.config.cluster.kind != "slurm" or _is_due(services, before)
    report = Poller(services, on_ended).poll(leave_out=() if asks else ("slurm",))
    if asks and services.config.cluster.kind == "slurm":
        remember_queue(services)
        refresh_site_limits(services)
    if asks:
        services.state.set_value(POLL_KEY, _remembered(services, report, before))
    return report


def next_poll_at(value: dict[str, Any]) -> datetime:
    """Return when SLURM is to be asked next, by what the last poll left."""
    return datetime.fromtimestamp(value.get("next_at", 0.0), UTC)


def _is_due(services: Services, before: dict[str, Any]) -> bool:
    now = services.clock()
    if now >= next_poll_at(before):
        return True
    # What was submitted since then has not been waited for patiently yet.
    shortest = timedelta(seconds=services.config.cluster.poll_seconds)
    is_new = services.state.newest_attempt_id() != before.get("newest_attempt")
    return is_new and now >= datetime.fromtimestamp(before.get("at", 0.0), UTC) + shortest


def _last(services: Services) -> dict[str, Any]:
    value = services.state.get_value(POLL_KEY)
    return {} if value is None else dict(value[0])


def _remembered(services: Services, report: PollReport, before: dict[str, Any]) -> dict[str, Any]:
    now = services.clock()
    counts = {"looked_at": report.looked_at, "running": report.running, "unknown": report.unknown}
    changed = bool(report.ended) or any(before.get(name) != count for name, count in counts.items())
    idle_rounds = 0 if changed else int(before.get("idle_rounds", 0)) + 1
    calls = [item for item in services.state.call_statistics() if item.program in _QUERIES]
    latency = max((item.last_seconds for item in calls), default=0.0)
    seconds = poll_interval(services.config.cluster.poll_seconds, latency_seconds=latency, idle_rounds=idle_rounds)
    return {
        **counts,
        "at": now.timestamp(),
        # When every witness last answered: a poller that looks and sees nothing must not pass for a healthy one.
        "complete_at": now.timestamp() if report.complete else before.get("complete_at"),
        "newest_attempt": services.state.newest_attempt_id(),
        "ended": len(report.ended),
        "errors": list(report.errors),
        "idle_rounds": idle_rounds,
        "latency_seconds": latency,
        "interval_seconds": seconds,
        "next_at": (now + timedelta(seconds=seconds)).timestamp(),
    }
