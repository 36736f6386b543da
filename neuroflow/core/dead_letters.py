"""Dead letters: runs that failed for good and that nothing but a person brings on."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, func, select, union, update
from sqlalchemy.orm import Session

from neuroflow.core import records
from neuroflow.core.audit import Audit, write_audit
from neuroflow.core.moves import lock_run
from neuroflow.core.selection import is_newest
from neuroflow.core.store import Store
from neuroflow.domain import AttemptStatus, FailureClass, FailureCount, RunRecord, RunStatus
from neuroflow.models import AttemptRow, RunRow


class DeadLetterState(Store):
    """List dead letters, and do what a person decides about them."""

    def dead_letters(
        self, *, pipeline: str | None = None, signature: str | None = None, failure: FailureClass | None = None
    ) -> list[RunRecord]:
        """Return the runs that failed, are the newest of their pipeline and scope, and wait for a person; newest first.

        One that is to be run again, or about which a person wants nothing more done, is none.
        """
        query = records.runs().where(is_dead_letter()).order_by(RunRow.id.desc())
        if pipeline is not None:
            query = query.where(RunRow.pipeline == pipeline)
        if signature is not None:
            query = query.where(RunRow.signature == signature)
        if failure is not None:
            query = query.where(RunRow.failure == failure)
        with self._read() as session:
            rows = session.execute(query).all()
        return [RunRecord(*row) for row in rows]

    def supersede_run(self, run_id: int, *, reason: str, actor: str) -> bool:
        """Have a dead letter run again: the scheduler opens a new run in its place. False when it is none any more.

        Raises:
            NotFoundError: when there is no such run.
        """
        return self._settle(run_id, {"superseded": True}, event="run.superseded", reason=reason, actor=actor)

    def resolve_run(self, run_id: int, *, resolution: str, actor: str) -> bool:
        """Note why nothing more is to be done about a dead letter. False when it is none any more.

        Raises:
            NotFoundError: when there is no such run.
        """
        return self._settle(run_id, {"resolution": resolution}, event="run.resolved", reason=resolution, actor=actor)

    def failure_counts(self) -> list[FailureCount]:
        """Return, per pipeline and failure class, what failed since the beginning and what is dead now."""
        failed = (AttemptRow.status == AttemptStatus.FAILED, AttemptRow.failure.is_not(None))
        of_attempts = select(RunRow.pipeline, AttemptRow.failure, AttemptRow.run_id).join(
            AttemptRow, AttemptRow.run_id == RunRow.id
        )
        # A run that was refused has failed without any attempt.
        of_runs = select(RunRow.pipeline, RunRow.failure, RunRow.id).where(
            RunRow.status == RunStatus.FAILED, RunRow.failure.is_not(None)
        )
        each = union(of_attempts.where(*failed), of_runs).subquery()
        queries = (
            select(RunRow.pipeline, AttemptRow.failure, func.count())
            .join(AttemptRow, AttemptRow.run_id == RunRow.id)
            .where(*failed)
            .group_by(RunRow.pipeline, AttemptRow.failure),
            select(each.c.pipeline, each.c.failure, func.count()).group_by(each.c.pipeline, each.c.failure),
            select(RunRow.pipeline, RunRow.failure, func.count())
            .where(is_dead_letter(), RunRow.failure.is_not(None))
            .group_by(RunRow.pipeline, RunRow.failure),
        )
        with self._read() as session:
            attempts, runs, dead = ({(row[0], row[1]): row[2] for row in session.execute(query)} for query in queries)
        return [
            FailureCount(*key, attempts=attempts.get(key, 0), runs=runs[key], dead_letters=dead.get(key, 0))
            for key in sorted(runs)
        ]

    def _settle(self, run_id: int, values: dict[str, Any], *, event: str, reason: str, actor: str) -> bool:
        with self._write() as (session, now):
            lock_run(session, run_id)
            if not _is_one(session, run_id):
                return False
            session.execute(update(RunRow).where(RunRow.id == run_id).values(values | {"updated_at": now}))
            write_audit(session, Audit(now, actor, event, "run", run_id, None, None, reason))
            return True


def _is_one(session: Session, run_id: int) -> bool:
    return session.scalar(select(RunRow.id).where(RunRow.id == run_id, is_dead_letter())) is not None


def is_dead_letter() -> ColumnElement[bool]:
    """Return the condition of a dead letter."""
    return and_(
        RunRow.status == RunStatus.FAILED,
        RunRow.superseded.is_(False),
        RunRow.resolution == "",
        is_newest(),
    )
