"""What failed lately: the evidence for holding a pipeline, and for leaving out a node."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import and_, or_, select

from neuroflow.core import records
from neuroflow.core.store import Store
from neuroflow.domain import AttemptRecord, AttemptStatus, FailureClass, NodeFailure
from neuroflow.models import AttemptRow, RunRow


class FailureState(Store):
    """Read recent failures."""

    def latest_outcomes(self, pipeline: str, *, since: datetime | None, limit: int) -> list[AttemptRecord]:
        """Return the attempts of a pipeline that succeeded, or failed with a signature, the last to end first.

        Args:
            since: leaves out those that ended until then.
        """
        signed = and_(AttemptRow.status == AttemptStatus.FAILED, AttemptRow.signature != "")
        query = (
            records.attempts()
            .where(RunRow.pipeline == pipeline, or_(AttemptRow.status == AttemptStatus.SUCCEEDED, signed))
            .order_by(AttemptRow.ended_at.desc(), AttemptRow.id.desc())
            .limit(limit)
        )
        if since is not None:
            query = query.where(AttemptRow.ended_at > since)
        with self._read() as session:
            rows = session.execute(query).all()
        return [AttemptRecord(*row) for row in rows]

    def node_failures(self, where: str, *, since: datetime) -> list[NodeFailure]:
        """Return which run lost which node from `since` on, the last one first.

        Args:
            where: the cluster of the attempts: slurm, local or worker.
        """
        query = (
            select(AttemptRow.host, AttemptRow.run_id)
            .where(
                AttemptRow.failure == FailureClass.NODE,
                AttemptRow.ended_at >= since,
                AttemptRow.where == where,
                AttemptRow.host != "",
            )
            .order_by(AttemptRow.ended_at.desc(), AttemptRow.id.desc())
        )
        with self._read() as session:
            return [NodeFailure(*row) for row in session.execute(query).all()]
