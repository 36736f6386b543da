"""Workflow runs: one row for each pass of the master workflow."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from neuroflow.core import records
from neuroflow.core.audit import Audit, write_audit
from neuroflow.core.moves import Cause
from neuroflow.core.store import DEFAULT_ACTOR, Store
from neuroflow.core.transitions import check_workflow_move
from neuroflow.domain import WorkflowRunRecord, WorkflowStatus
from neuroflow.errors import NotFoundError
from neuroflow.models import WorkflowRunRow


class WorkflowState(Store):
    """Read and write workflow runs."""

    def start_workflow_run(self) -> WorkflowRunRecord:
        """Open a workflow run."""
        with self._write() as (session, now):
            values = {"status": WorkflowStatus.RUNNING, "stages_completed": (), "tasks_queued": 0, "created_at": now}
            run_id = session.scalars(insert(WorkflowRunRow).values(values).returning(WorkflowRunRow.id)).one()
            entry = Audit(
                now,
                DEFAULT_ACTOR,
                "workflow_run.started",
                "workflow_run",
                run_id,
                None,
                WorkflowStatus.RUNNING.value,
                "started",
            )
            write_audit(session, entry)
            return _read(session, run_id)

    def finish_workflow_run(
        self,
        workflow_run_id: int,
        *,
        status: WorkflowStatus,
        stages_completed: Sequence[str],
        tasks_queued: int,
        error: str | None = None,
    ) -> bool:
        """End a workflow run; False when it had ended already.

        Raises:
            IllegalMoveError: when `status` does not end it.
            NotFoundError: when there is no such workflow run.
        """
        check_workflow_move(WorkflowStatus.RUNNING, status, workflow_run_id=workflow_run_id)
        with self._write() as (session, now):
            values = {"stages_completed": tuple(stages_completed), "tasks_queued": tasks_queued, "error": error}
            cause = Cause(error or f"{tasks_queued} tasks queued", now)
            return _end(session, workflow_run_id, status, cause, values)

    def cancel_workflow_run(self, workflow_run_id: int, *, actor: str) -> bool:
        """Cancel a workflow run; the runs that it opened go on. False when it had ended already.

        Raises:
            NotFoundError: when there is no such workflow run.
        """
        with self._write() as (session, now):
            cause = Cause(f"cancelled by {actor}", now, actor)
            return _end(session, workflow_run_id, WorkflowStatus.CANCELLED, cause, {})

    def get_workflow_run(self, workflow_run_id: int) -> WorkflowRunRecord:
        """Return a workflow run by id.

        Raises:
            NotFoundError: when there is none.
        """
        with self._read() as session:
            return _read(session, workflow_run_id)

    def list_workflow_runs(self, limit: int | None = None) -> list[WorkflowRunRecord]:
        """Return workflow runs, newest first."""
        with self._read() as session:
            rows = session.execute(records.workflow_runs().order_by(WorkflowRunRow.id.desc()).limit(limit)).all()
        return [WorkflowRunRecord(*row) for row in rows]


def _end(
    session: Session, workflow_run_id: int, status: WorkflowStatus, cause: Cause, values: dict[str, object]
) -> bool:
    query = select(WorkflowRunRow.status).where(WorkflowRunRow.id == workflow_run_id).with_for_update()
    before = session.scalar(query)
    if before is None:
        raise NotFoundError(f"there is no workflow run {workflow_run_id}")
    if before is not WorkflowStatus.RUNNING:
        return False
    changes = {"status": status, "ended_at": cause.at, **values}
    session.execute(update(WorkflowRunRow).where(WorkflowRunRow.id == workflow_run_id).values(changes))
    event = f"workflow_run.{status}"
    write_audit(
        session,
        Audit(cause.at, cause.actor, event, "workflow_run", workflow_run_id, before.value, status.value, cause.reason),
    )
    return True


def _read(session: Session, workflow_run_id: int) -> WorkflowRunRecord:
    row = session.execute(records.workflow_runs().where(WorkflowRunRow.id == workflow_run_id)).first()
    if row is None:
        raise NotFoundError(f"there is no workflow run {workflow_run_id}")
    return WorkflowRunRecord(*row)
