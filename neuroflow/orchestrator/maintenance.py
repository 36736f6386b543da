"""What an installation does for itself once in a while: a backup, and making room."""

from __future__ import annotations

from typing import Any

import structlog

from neuroflow.errors import StateError
from neuroflow.orchestrator.backups import backup_if_due
from neuroflow.orchestrator.lease import lease
from neuroflow.orchestrator.retention import clean_up_if_due
from neuroflow.orchestrator.services import Services

log = structlog.get_logger(__name__)

MAINTENANCE_LEASE = "maintenance"


def maintain(services: Services) -> dict[str, Any]:
    """Do what is due; one process at a time does.

    Returns:
        `{"backup": path or None, "deleted": …, "errors": [...]}`, or `{"skipped": True}` while another one does it.
    """
    with lease(services.state, MAINTENANCE_LEASE) as mine:
        if not mine:
            return {"skipped": True}
        errors: list[str] = []
        backup = None
        try:
            backup = backup_if_due(services)
        except StateError as error:  # the room that the clean-up makes may be what it lacks
            log.error("backup.failed", error=str(error), hint=error.hint)
            errors.append(str(error))
        cleanup = clean_up_if_due(services)
        if cleanup is not None:
            errors += cleanup.errors
        return {
            "backup": None if backup is None else str(backup.path),
            "deleted": 0 if cleanup is None else len(cleanup.deleted),
            "errors": errors,
        }
