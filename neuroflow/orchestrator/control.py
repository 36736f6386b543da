"""What a person asks for: cancel runs or a workflow run, for real, in any state."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from neuroflow.domain import IN_FLIGHT_RUN_STATUSES, OPEN_RUN_STATUSES, AttemptRecord, AttemptStatus
from neuroflow.errors import NeuroflowError
from neuroflow.orchestrator.services import Services
from neuroflow.sharing import owner_of

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Cancelled:
    """Which runs were cancelled, and what went wrong with the others."""

    run_ids: tuple[int, ...]
    errors: tuple[str, ...] = ()


def cancel_runs(services: Services, run_ids: Collection[int], *, reason: str, actor: str) -> Cancelled:
    """Cancel runs and their jobs, these in one call for each cluster; what has ended is left alone.

    The jobs are ended first: were it the other way round, a crash between the two would leave jobs that work for runs
    which nobody watches any more. A run whose job can't be cancelled stays open.
    """
    runs = services.state.get_runs(run_ids)
    flying = [run.id for run in runs.values() if run.status in IN_FLIGHT_RUN_STATUSES]
    attempts = services.state.open_attempts_of(flying)
    failed, errors = _end_jobs(services, attempts)
    cancelled = services.state.cancel_runs(
        [run.id for run in runs.values() if run.status in OPEN_RUN_STATUSES and run.id not in failed],
        reason=reason,
        actor=actor,
    )
    # A worker may have claimed one between the first look and its cancellation; none is claimed after that.
    known = {attempt.token for attempt in attempts}
    later = [item for item in services.state.open_attempts_of(cancelled) if item.token not in known]
    errors += _end_jobs(services, later)[1]
    return Cancelled(cancelled, tuple(errors))


def _end_jobs(services: Services, attempts: Sequence[AttemptRecord]) -> tuple[set[int], list[str]]:
    """End the jobs of attempts; return the runs of those that could not be ended, and why."""
    by_cluster: dict[str, list[AttemptRecord]] = defaultdict(list)
    for attempt in attempts:
        by_cluster[attempt.where].append(attempt)
    failed: set[int] = set()
    errors: list[str] = []
    for where, group in by_cluster.items():
        try:
            _end_on(services, where, group)
        except (NeuroflowError, OSError) as error:
            failed |= {attempt.run_id for attempt in group}
            named = ", ".join(str(attempt.run_id) for attempt in group)
            errors.append(f"the jobs of run {named} could not be cancelled: {error}")
    return failed, errors


def _end_on(services: Services, where: str, attempts: Sequence[AttemptRecord]) -> None:
    cluster = services.cluster(where)
    # A job that starts later finds the revoked claim and stops. Where none has claimed it yet, the claim is what tells
    # the poll of its end: SLURM forgets an array's element that is cancelled while it waits.
    waiting = [attempt for attempt in attempts if attempt.status is not AttemptStatus.RUNNING]
    cluster.folders.revoke_all([attempt.folder for attempt in waiting])
    ours = [attempt for attempt in attempts if not _is_left_to_the_service(services, attempt)]
    if ours:
        cluster.cancel(ours)


def _is_left_to_the_service(services: Services, attempt: AttemptRecord) -> bool:
    """Tell whether a job is another operator's.

    SLURM and the kernel let a job be ended by its own user alone: that one's next poll does.
    """
    if services.config.paths.group is None or os.geteuid() == 0 or owner_of(Path(attempt.folder)) is None:
        return False
    log.info("cancel.left_to_the_service", token=attempt.token, run_id=attempt.run_id)
    return True


def cancel_workflow(
    services: Services, workflow_run_id: int, *, reason: str, actor: str
) -> tuple[list[int], list[str]]:
    """Cancel a workflow run and every open run that it opened.

    Returns:
        The ids of the runs that were cancelled, and what went wrong with the others.
    """
    services.state.get_workflow_run(workflow_run_id)
    runs = [run.id for run in services.state.list_runs(open_only=True) if run.workflow_run_id == workflow_run_id]
    cancelled = cancel_runs(services, runs, reason=reason, actor=actor)
    services.state.cancel_workflow_run(workflow_run_id, actor=actor)
    return list(cancelled.run_ids), list(cancelled.errors)
