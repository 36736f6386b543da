"""What follows the end of a run; each is effective once per run."""

from __future__ import annotations

import structlog

from neuroflow.domain import RunStatus
from neuroflow.orchestrator.record import Ended
from neuroflow.workers.celery_app import get_services

log = structlog.get_logger(__name__)


def on_pipeline_success(run_id: int, pipeline_name: str) -> bool:
    """Say once that a run has completed; the next look at the database starts what depends on it."""
    first = get_services().state.mark_callback(run_id, "success")
    if first:
        log.info("pipeline.finished", run_id=run_id, pipeline=pipeline_name, success=True)
    return first


def on_pipeline_failure(run_id: int, pipeline_name: str, error_message: str) -> bool:
    """Say once that a run has failed for good."""
    first = get_services().state.mark_callback(run_id, "failure")
    if first:
        log.error("pipeline.finished", run_id=run_id, pipeline=pipeline_name, success=False, error=error_message)
    return first


def after_verdict(ended: Ended) -> None:
    """Call what a verdict asks for; a run that will be tried again has not ended."""
    attempt = ended.attempt
    if ended.run_status is RunStatus.COMPLETED:
        on_pipeline_success(attempt.run_id, attempt.pipeline)
    elif ended.run_status is RunStatus.FAILED:
        on_pipeline_failure(attempt.run_id, attempt.pipeline, ended.verdict.reason)
