"""The tasks of the master workflow and its stages: thin shells over the orchestrator."""

from __future__ import annotations

from typing import Any

import structlog
from celery import shared_task

from neuroflow.errors import NeuroflowError
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.steps import Dispatcher, InlineDispatcher, advance, discover
from neuroflow.orchestrator.workflow import WorkflowScheduler
from neuroflow.workers.callbacks import after_verdict
from neuroflow.workers.celery_app import get_celery_app, get_services
from neuroflow.workers.dispatch import CeleryDispatcher
from neuroflow.workers.shell import bound

log = structlog.get_logger(__name__)


@shared_task(bind=True, name="neuroflow.workers.workflow_tasks.run_master_workflow", max_retries=0)  # type: ignore[untyped-decorator]
def run_master_workflow(self: Any, sync: bool = False, dry_run: bool = False) -> dict[str, Any]:
    """Run one pass of the master workflow; never retried, since the next pass sees what this one left."""
    with bound(self):
        services = get_services()
        dispatcher: Dispatcher = InlineDispatcher(services) if sync else _celery(services)
        result = WorkflowScheduler(services, dispatcher, on_ended=after_verdict).run_workflow(
            sync=sync, dry_run=dry_run
        )
        if result.error:
            log.error("workflow.master.error", error=result.error)
        return {
            "workflow_run_id": result.workflow_run_id,
            "status": result.status,
            "stages_completed": list(result.stages_completed),
            "error": result.error,
        }


@shared_task(bind=True, name="neuroflow.workers.workflow_tasks.run_discovery_stage")  # type: ignore[untyped-decorator]
def run_discovery_stage(self: Any, workflow_run_id: int | None = None) -> dict[str, Any]:
    """Look for sessions on disk."""
    with bound(self, workflow_run_id=workflow_run_id):
        errors: tuple[str, ...] = ()
        try:
            discover(get_services())
        except NeuroflowError as error:
            errors = (str(error),)
        return {"stage": "discovery", "success": not errors, "tasks_queued": 0, "errors": list(errors)}


@shared_task(bind=True, name="neuroflow.workers.workflow_tasks.run_bids_stage")  # type: ignore[untyped-decorator]
def run_bids_stage(self: Any, workflow_run_id: int | None = None) -> dict[str, Any]:
    """Open and queue what is due of bids_conversion."""
    return _stage(self, "bids_conversion", workflow_run_id)


@shared_task(bind=True, name="neuroflow.workers.workflow_tasks.run_qsiprep_stage")  # type: ignore[untyped-decorator]
def run_qsiprep_stage(self: Any, workflow_run_id: int | None = None) -> dict[str, Any]:
    """Open and queue what is due of qsiprep."""
    return _stage(self, "qsiprep", workflow_run_id)


@shared_task(bind=True, name="neuroflow.workers.workflow_tasks.run_qsirecon_stage")  # type: ignore[untyped-decorator]
def run_qsirecon_stage(self: Any, workflow_run_id: int | None = None) -> dict[str, Any]:
    """Open and queue what is due of qsirecon."""
    return _stage(self, "qsirecon", workflow_run_id)


@shared_task(bind=True, name="neuroflow.workers.workflow_tasks.run_qsiparc_stage")  # type: ignore[untyped-decorator]
def run_qsiparc_stage(self: Any, workflow_run_id: int | None = None) -> dict[str, Any]:
    """Open and queue what is due of qsiparc."""
    return _stage(self, "qsiparc", workflow_run_id)


def _stage(task: Any, name: str, workflow_run_id: int | None) -> dict[str, Any]:
    with bound(task, workflow_run_id=workflow_run_id):
        services = get_services()
        report = advance(services, _celery(services), only=name, workflow_run_id=workflow_run_id)
        return {
            "stage": name,
            "success": not report.errors,
            "tasks_queued": len(report.dispatched),
            "errors": list(report.errors),
        }


def _celery(services: Services) -> CeleryDispatcher:
    return CeleryDispatcher(get_celery_app(), services.state)
