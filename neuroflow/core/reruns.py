"""Run it again: mark the newest runs of a session as superseded, so that the scheduler opens new ones."""

from __future__ import annotations

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from neuroflow.core.audit import Audit, write_audit
from neuroflow.core.store import DEFAULT_ACTOR, Store
from neuroflow.domain import ENDED_RUN_STATUSES, RunStatus, Stage
from neuroflow.errors import NotFoundError
from neuroflow.models import RunRow, SessionRow

_UNSUCCESSFUL = frozenset({RunStatus.FAILED, RunStatus.CANCELLED})


class RerunState(Store):
    """Ask for runs again."""

    def mark_session_for_rerun(
        self, session_id: int, reason: str, *, pipeline: str | None = None, actor: str = DEFAULT_ACTOR
    ) -> list[int]:
        """Supersede the newest runs of a session and its subject; return the ids of those superseded.

        Args:
            pipeline: only its newest run, if that has ended. None: every failed or cancelled newest run, or that of
                bids_conversion when there is none.

        Raises:
            NotFoundError: when there is no such session.
        """
        with self._write() as (session, now):
            newest = _newest_runs(session, session_id)
            asked: list[int] = []
            for run in _chosen(newest, pipeline):
                # The status is asked for again: another worker may have moved the run meanwhile.
                statement = (
                    update(RunRow)
                    .where(RunRow.id == run.id, RunRow.status.in_(ENDED_RUN_STATUSES), RunRow.superseded.is_(False))
                    .values(superseded=True, updated_at=now)
                    .returning(RunRow.id)
                )
                asked += session.scalars(statement).all()
            for run_id in asked:
                write_audit(session, Audit(now, actor, "run.superseded", "run", run_id, None, None, reason))
            write_audit(
                session,
                Audit(now, actor, "session.rerun", "session", session_id, None, None, reason, {"runs": asked}),
            )
        return asked


def _newest_runs(session: Session, session_id: int) -> list[RunRow]:
    """Return the newest run of each pipeline for a session and for its subject, oldest first."""
    subject_id = session.scalar(select(SessionRow.subject_id).where(SessionRow.id == session_id))
    if subject_id is None:
        raise NotFoundError(f"there is no session with the id {session_id}")
    newest = (
        select(func.max(RunRow.id))
        .where(RunRow.subject_id == subject_id, or_(RunRow.session_id == session_id, RunRow.session_id.is_(None)))
        .group_by(RunRow.pipeline, RunRow.scope)
    )
    return list(session.scalars(select(RunRow).where(RunRow.id.in_(newest)).order_by(RunRow.id)))


def _chosen(newest: list[RunRow], pipeline: str | None) -> list[RunRow]:
    if pipeline is not None:
        return [run for run in newest if run.pipeline == pipeline]
    failed = [run for run in newest if run.status in _UNSUCCESSFUL]
    return failed or [run for run in newest if run.pipeline == Stage.BIDS_CONVERSION]
