"""Lines: how many runs stand before one, and how many others failed as it did."""

from __future__ import annotations

from sqlalchemy import and_, func, or_, select

from neuroflow.core.store import Store
from neuroflow.domain import IN_FLIGHT_RUN_STATUSES, Line, RunRecord, RunStatus
from neuroflow.models import RunRow

_FAILED = frozenset({RunStatus.FAILED, RunStatus.RETRY_WAIT})


class LineState(Store):
    """Compare one run with the others of its pipeline, by counts alone."""

    def line_of(self, run: RunRecord) -> Line:
        """Return what is before a run that wants to start, in the order in which runs are dispatched."""
        waited = or_(RunRow.next_attempt_at.is_(None), RunRow.next_attempt_at <= self._clock())
        due = or_(RunRow.status == RunStatus.PENDING, and_(RunRow.status == RunStatus.RETRY_WAIT, waited))
        own = RunRow.pipeline == run.pipeline
        first = or_(RunRow.priority > run.priority, and_(RunRow.priority == run.priority, RunRow.id < run.id))
        queries = (
            select(func.count()).where(own, RunRow.status.in_(IN_FLIGHT_RUN_STATUSES)),
            select(func.count()).where(own, RunRow.status == RunStatus.QUEUED, RunRow.id != run.id),
            select(func.count()).where(own, due, first),
        )
        with self._read() as session:
            return Line(*(session.scalars(query).one() for query in queries))

    def failed_alike(self, run: RunRecord) -> int:
        """Return how many other runs of the pipeline failed last as this one did, and are not to be run again."""
        if not run.signature:
            return 0
        query = select(func.count()).where(
            RunRow.pipeline == run.pipeline,
            RunRow.status.in_(_FAILED),
            RunRow.signature == run.signature,
            RunRow.superseded.is_(False),
            RunRow.id != run.id,
        )
        with self._read() as session:
            return session.scalars(query).one()
