"""What a person asks for: cancel a run or a workflow run, for real, in any state."""

from __future__ import annotations

import os
from pathlib import Path

import structlog

from neuroflow.domain import IN_FLIGHT_RUN_STATUSES, OPEN_RUN_STATUSES, AttemptStatus, RunRecord
from neuroflow.errors import ClusterError, UsageError
from neuroflow.orchestrator.services import Services
from neuroflow.sharing import owner_of

log = structlog.get_logger(__name__)


def cancel_run(services: Services, run_id: int, *, reason: str, actor: str) -> RunRecord:
    """Cancel a run and its job.

    The job is ended first: were it the other way round, a crash between the two would leave a job that works
    for a run which nobody watches any more.

    Raises:
        UsageError: when the run has ended already.
        ClusterError: when the job could not be cancelled; the run stays open.
    """
    run = services.state.get_run(run_id)
    if run.status not in OPEN_RUN_STATUSES:
        raise UsageError(
            f"run {run_id} ({run.pipeline} of {run.scope}) is {run.status} already",
            hint=f"`neuroflow runs show {run_id}` tells why; `neuroflow runs retry {run_id}` runs it again",
        )
    if run.status in IN_FLIGHT_RUN_STATUSES:
        _cancel_job(services, run)
    return services.state.cancel_run(run_id, reason=reason, actor=actor)


def _cancel_job(services: Services, run: RunRecord) -> None:
    attempt = services.state.latest_attempt(run.id)
    if attempt is None:
        return
    cluster = services.cluster(attempt.where)
    if attempt.status is not AttemptStatus.RUNNING:
        # A job that starts later finds the revoked claim and stops. Where none has claimed it yet, the claim is what
        # tells the poll of its end: SLURM forgets an array's element that is cancelled while it waits.
        cluster.revoke(attempt)
    if services.config.paths.group is not None and os.geteuid() != 0 and owner_of(Path(attempt.folder)) is not None:
        # SLURM and the kernel let a job be ended by its own user alone: that one's next poll does.
        log.info("cancel.left_to_the_service", token=attempt.token, run_id=run.id)
        return
    cluster.cancel([attempt])


def cancel_workflow(
    services: Services, workflow_run_id: int, *, reason: str, actor: str
) -> tuple[list[int], list[str]]:
    """Cancel a workflow run and every open run that it opened.

    Returns:
        The ids of the runs that were cancelled, and what went wrong with the others.
    """
    services.state.get_workflow_run(workflow_run_id)
    cancelled: list[int] = []
    errors: list[str] = []
    for run in services.state.list_runs(open_only=True):
        if run.workflow_run_id != workflow_run_id:
            continue
        try:
            cancel_run(services, run.id, reason=reason, actor=actor)
            cancelled.append(run.id)
        except (ClusterError, UsageError) as error:
            errors.append(f"run {run.id}: {error}")
    services.state.cancel_workflow_run(workflow_run_id, actor=actor)
    return cancelled, errors
