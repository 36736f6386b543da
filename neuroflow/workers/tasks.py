"""The tasks that work on one run, one session, or everything in flight: thin shells over the orchestrator."""

from __future__ import annotations

import time
from typing import Any

import structlog
from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded

from neuroflow.discovery.validator import SessionValidator
from neuroflow.domain import (
    IN_FLIGHT_RUN_STATUSES,
    OPEN_RUN_STATUSES,
    FailureClass,
    RetryDecision,
    RunStatus,
    Verdict,
    VerdictKind,
)
from neuroflow.errors import UsageError
from neuroflow.metrics.textfile import write_metrics
from neuroflow.notify.send import LIMIT_SECONDS
from neuroflow.orchestrator import maintenance
from neuroflow.orchestrator.images import read_digests
from neuroflow.orchestrator.launch import Launcher
from neuroflow.orchestrator.lease import POLL_LEASE, lease
from neuroflow.orchestrator.notifications import ROUND_SECONDS, notify_round
from neuroflow.orchestrator.reconcile import Poller
from neuroflow.orchestrator.rounds import look
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.signature import code_of
from neuroflow.orchestrator.stale import clean_up_stale
from neuroflow.orchestrator.steps import advance, discover, launch_all
from neuroflow.views.status_leave import leave_snapshot
from neuroflow.workers.callbacks import after_verdict
from neuroflow.workers.celery_app import get_celery_app, get_services
from neuroflow.workers.dispatch import CeleryDispatcher
from neuroflow.workers.presence import broker_state
from neuroflow.workers.shell import bound

log = structlog.get_logger(__name__)

TOO_SLOW = "Task exceeded time limit"
LONGEST_RETRY_SECONDS = 3600
SHORTEST_STALE_HOURS = 1.0
# A conversion inside the worker is looked at this often; one stat of its exit record each time.
WORKER_POLL_SECONDS = 1.0
# One delivery may begin at the very end of a round.
NOTIFY_SOFT_LIMIT_SECONDS = int(ROUND_SECONDS + 2 * LIMIT_SECONDS)


@shared_task(bind=True, name="neuroflow.workers.tasks.run_pipeline", max_retries=None)  # type: ignore[untyped-decorator]
def run_pipeline(
    self: Any, run_id: int, pipeline_name: str, session_id: int | None = None, subject_id: int | None = None
) -> dict[str, Any]:
    """Submit a run's next attempt; of a pipeline that works inside the worker, wait for its end."""
    with bound(self, run_id=run_id, pipeline=pipeline_name):
        services = get_services()
        if (refused := _refused(services, run_id, pipeline_name)) is not None:
            return refused
        try:
            return _run(self, services, run_id, pipeline_name)
        except SoftTimeLimitExceeded:
            return _time_limit(services, run_id, pipeline_name)


@shared_task(bind=True, name="neuroflow.workers.tasks.submit_array", max_retries=None)  # type: ignore[untyped-decorator]
def submit_array(self: Any, run_ids: list[int], pipeline_name: str) -> dict[str, Any]:
    """Submit the next attempts of several runs of one pipeline as one job array."""
    with bound(self, pipeline=pipeline_name):
        results = launch_all(get_services(), run_ids)
        return {"success": True, "submitted": sum(result.launched for result in results), "runs": len(results)}


@shared_task(bind=True, name="neuroflow.workers.tasks.run_bids_conversion", max_retries=None)  # type: ignore[untyped-decorator]
def run_bids_conversion(self: Any, run_id: int, session_id: int) -> dict[str, Any]:
    """Convert one session: `run_pipeline` for the pipeline `bids_conversion`."""
    with bound(self, run_id=run_id, pipeline="bids_conversion"):
        services = get_services()
        if (refused := _refused(services, run_id, "bids_conversion")) is not None:
            return refused
        try:
            return _run(self, services, run_id, "bids_conversion")
        except SoftTimeLimitExceeded:
            return _time_limit(services, run_id, "bids_conversion")


@shared_task(bind=True, name="neuroflow.workers.tasks.scan_directories")  # type: ignore[untyped-decorator]
def scan_directories(self: Any) -> dict[str, int]:
    """Look for sessions on disk."""
    with bound(self):
        outcome, _ = discover(get_services())
        return {"sessions_found": outcome.found}


@shared_task(bind=True, name="neuroflow.workers.tasks.validate_session")  # type: ignore[untyped-decorator]
def validate_session(self: Any, session_id: int) -> dict[str, Any]:
    """Check what is known of a session against the protocol."""
    with bound(self, session_id=session_id):
        services = get_services()
        session = services.state.get_session(session_id)
        missing = SessionValidator(services.config.protocol).missing(session.series)
        return {"session_id": session_id, "valid": not missing, "missing": list(missing)}


@shared_task(bind=True, name="neuroflow.workers.tasks.cleanup_stale_runs")  # type: ignore[untyped-decorator]
def cleanup_stale_runs(self: Any, hours: float = 48) -> dict[str, int]:
    """End attempts that no witness has known for `hours`; read new images for their digests."""
    with bound(self):
        # Whoever can send a message must not end what a witness is merely slow to tell of.
        if not hours >= SHORTEST_STALE_HOURS:
            raise UsageError(f"hours is {hours}, and must be {SHORTEST_STALE_HOURS:g} or more")
        services = get_services()
        found = dict(clean_up_stale(services, hours=hours))
        read_digests(services)
        return found


@shared_task(bind=True, name="neuroflow.workers.tasks.maintain")  # type: ignore[untyped-decorator]
def maintain(self: Any) -> dict[str, Any]:
    """Back the database up and delete what is old, where that is due."""
    with bound(self):
        return maintenance.maintain(get_services())


@shared_task(bind=True, name="neuroflow.workers.tasks.poll_jobs")  # type: ignore[untyped-decorator]
def poll_jobs(self: Any) -> dict[str, Any]:
    """Judge every open attempt, then start what has become ready; one worker at a time does."""
    with bound(self), lease(get_services().state, POLL_LEASE) as mine:
        if not mine:
            return {"skipped": True}
        services = get_services()
        report = look(services, after_verdict)
        started = advance(services, CeleryDispatcher(get_celery_app(), services.state))
        write_metrics(services, broker=lambda: broker_state(get_celery_app()))
        leave_snapshot(services.config)
        return {
            "looked_at": report.looked_at,
            "ended": len(report.ended),
            "unknown": report.unknown,
            "dispatched": len(started.dispatched),
            "errors": [*report.errors, *started.errors],
        }


def _refused(services: Services, run_id: int, pipeline_name: str) -> dict[str, Any] | None:
    """Return the answer to a message that does not fit the database, which alone says what a run is."""
    run = services.state.get_run(run_id)
    if run.pipeline == pipeline_name:
        return None
    log.error("pipeline.message_refused", run_id=run_id, pipeline=pipeline_name, expected=run.pipeline)
    message = f"run {run_id} is one of {run.pipeline}, and not of '{pipeline_name}'"
    return {"success": False, "run_id": run_id, "status": str(run.status), "message": message}


@shared_task(  # type: ignore[untyped-decorator]
    bind=True,
    name="neuroflow.workers.tasks.send_notifications",
    soft_time_limit=NOTIFY_SOFT_LIMIT_SECONDS,
    time_limit=NOTIFY_SOFT_LIMIT_SECONDS + 30,
)
def send_notifications(self: Any) -> dict[str, Any]:
    """Tell people what is due; a task of its own, so that a dead mail server holds up nothing else."""
    with bound(self):
        report = notify_round(get_services())
        return {"queued": report.queued, "sent": report.sent, "failed": list(report.failed)}


def _run(task: Any, services: Services, run_id: int, pipeline_name: str) -> dict[str, Any]:
    log.info("pipeline.started", run_id=run_id, pipeline=pipeline_name)
    result = Launcher(services).launch(run_id)
    celery = services.config.celery
    if result.try_again and task.request.retries < celery.max_retries:
        delay = min(celery.default_retry_delay * 2**task.request.retries, LONGEST_RETRY_SECONDS)
        raise task.retry(countdown=delay)
    if result.launched and services.registry.get(pipeline_name).where == "worker":
        _wait_for_worker_run(services, run_id)
    run = services.state.get_run(run_id)
    success = run.status not in (RunStatus.FAILED, RunStatus.CANCELLED)
    return {"success": success, "run_id": run_id, "status": str(run.status), "message": result.message}


def _wait_for_worker_run(services: Services, run_id: int) -> None:
    """Stay until a conversion has ended: its place in the worker is what limits how many run at once."""
    attempt = services.state.latest_attempt(run_id)
    if attempt is None:
        return
    cluster = services.cluster(attempt.where)
    while services.state.get_attempt(attempt.id).ended_at is None:
        sighting = cluster.sight([attempt])[attempt.token]
        if sighting.exit_record is not None or sighting.queue is None:
            break
        time.sleep(WORKER_POLL_SECONDS)
    Poller(services, after_verdict).poll(leave_out={*services.clusters} - {attempt.where})
    advance(services, CeleryDispatcher(get_celery_app(), services.state))


def _time_limit(services: Services, run_id: int, pipeline_name: str) -> dict[str, Any]:
    """End a run whose task was too slow, and have its session run again, as often as the retry policy allows."""
    log.error("pipeline.timeout", run_id=run_id, pipeline=pipeline_name)
    run = services.state.get_run(run_id)
    attempt = services.state.latest_attempt(run_id)
    if run.status in IN_FLIGHT_RUN_STATUSES and (attempt is None or attempt.where != "worker"):
        # Its job does not depend on this task: the next poll looks after it, by token where its id is unknown.
        return {"success": False, "run_id": run_id, "status": str(run.status), "message": TOO_SLOW}
    if run.status in IN_FLIGHT_RUN_STATUSES and attempt is not None:
        services.cluster(attempt.where).retire([attempt])
        verdict = Verdict(VerdictKind.FAILED, TOO_SLOW, failure=FailureClass.TIMEOUT, ended_at=services.clock())
        decision = RetryDecision(RunStatus.FAILED, TOO_SLOW, counted=True)
        services.state.record_verdict(attempt.id, verdict, decision, None, signature=code_of(attempt, verdict))
    elif run.status in OPEN_RUN_STATUSES:
        services.state.update_pipeline_run(run_id, status=RunStatus.FAILED, reason=TOO_SLOW, error_message=TOO_SLOW)
    retry = services.registry.get(pipeline_name).retry
    same = [
        one
        for one in services.state.list_runs(pipeline=pipeline_name, subject=run.subject, session=run.session)
        if one.inputs_key == run.inputs_key
    ]
    if run.session_id is not None and len(same) < retry.max_attempts:
        services.state.mark_session_for_rerun(
            run.session_id, "Timeout during pipeline execution", pipeline=pipeline_name
        )
    return {"success": False, "run_id": run_id, "status": "failed", "message": TOO_SLOW}
