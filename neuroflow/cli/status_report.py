"""What `neuroflow status` says, gathered from the database as plain data."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from neuroflow.core.images import told
from neuroflow.domain import RunRecord, RunStatus, SessionStatus
from neuroflow.orchestrator.backups import BACKUP_KEY, list_backups
from neuroflow.orchestrator.current import current_runs
from neuroflow.orchestrator.dispatch import choose_dispatch
from neuroflow.orchestrator.images import changed_images
from neuroflow.orchestrator.rounds import POLL_KEY
from neuroflow.orchestrator.scheduler import plan_runs
from neuroflow.orchestrator.services import SLURM_BUDGET
from neuroflow.orchestrator.site import admission

if TYPE_CHECKING:
    from neuroflow.orchestrator.services import Services

SCHEMA = 1
UNDELIVERED_DAYS = timedelta(days=7)
# A person's words for a run's statuses; `queued` is the cluster's queue, `pending` is before it.
COLUMNS = {
    "completed": (RunStatus.COMPLETED,),
    "running": (RunStatus.RUNNING,),
    "queued": (RunStatus.SUBMITTING, RunStatus.SUBMITTED),
    "pending": (RunStatus.PENDING, RunStatus.QUEUED),
    "retrying": (RunStatus.RETRY_WAIT,),
    "failed": (RunStatus.FAILED,),
    "cancelled": (RunStatus.CANCELLED,),
}


def status_report(services: Services) -> dict[str, Any]:
    """Gather counts, failures, waits, holds and the last poll."""
    snapshot = services.state.snapshot()
    holds = services.holds()
    plan = plan_runs(snapshot, services.registry)
    choice = choose_dispatch(snapshot, services.registry, holds=holds, admission=admission(services))
    due = Counter(proposal.pipeline for proposal in plan.proposals)
    runs = current_runs(snapshot)
    failed = [run for run in runs if run.status is RunStatus.FAILED and not run.resolution]
    sessions = Counter(session.status for session in snapshot.sessions)
    return {
        "schema": SCHEMA,
        "pipelines": [row | {"due": due[row["pipeline"]]} for row in _counts(services, runs)],
        "sessions": {str(status): sessions[status] for status in SessionStatus},
        "failed": [
            {"run": run.id, "pipeline": run.pipeline, "scope": run.scope, "reason": run.error_message or run.reason}
            for run in failed
        ],
        "waits": [*plan.waits, *choice.waits],
        "held": holds,
        "changed_images": [
            {"pipeline": name, "image": image.name, "now": told(image), "since": image.first_seen_at}
            for name, image in changed_images(services).items()
        ],
        "last_poll": _last(services, POLL_KEY),
        "last_backup": _last_backup(services),
        "slurm": _slurm(services),
        "undelivered": services.state.undelivered(since=services.clock() - UNDELIVERED_DAYS),
        "workers_outdated": services.workers_are_outdated(),
    }


def pipeline_counts(services: Services) -> list[dict[str, Any]]:
    """Return, for each pipeline, how many scopes stand where."""
    return _counts(services, current_runs(services.state.snapshot()))


def _counts(services: Services, runs: list[RunRecord]) -> list[dict[str, Any]]:
    counts = Counter((run.pipeline, run.status) for run in runs)
    return [
        {"pipeline": name}
        | {column: sum(counts[name, status] for status in statuses) for column, statuses in COLUMNS.items()}
        for name in services.registry.names()
    ]


def _slurm(services: Services) -> dict[str, Any] | None:
    """Return how SLURM was called, None where there is none."""
    config = services.config.cluster
    if config.kind != "slurm":
        return None
    per_minute = config.calls_per_minute
    left = services.state.calls_left(SLURM_BUDGET, per_minute=per_minute)
    return {
        "calls_per_minute": per_minute,
        "calls_left": round(left, 1),
        "programs": [
            {
                "program": item.program,
                "calls": item.calls,
                "failures": item.failures,
                "mean_seconds": round(item.seconds / max(item.calls, 1), 3),
                "last_seconds": round(item.last_seconds, 3),
            }
            for item in services.state.call_statistics()
        ],
    }


def _last_backup(services: Services) -> dict[str, Any] | None:
    """Return the newest backup, by what is noted or by its file: a restored database knows of none taken since."""
    noted = _last(services, BACKUP_KEY)
    newest = next(iter(list_backups(services.config)), None)
    if newest is None:
        return noted
    taken_at = datetime.fromtimestamp(newest.modified_at, UTC)
    # Noted a little before its file is finished.
    if noted is not None and (noted["path"] == str(newest.path) or noted["at"] >= taken_at):
        return noted
    return {"path": str(newest.path), "bytes": newest.bytes, "at": taken_at}


def _last(services: Services, key: str) -> dict[str, Any] | None:
    """Return what something that is done now and then left, with its time."""
    value = services.state.get_value(key)
    return None if value is None else {**value[0], "at": value[1]}
