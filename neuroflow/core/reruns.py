"""Run it again: mark the newest runs of a scope as superseded, so that the scheduler opens new ones."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from neuroflow.core.audit import Audit, write_audits
from neuroflow.core.selection import is_newest
from neuroflow.core.store import DEFAULT_ACTOR, Store, was_withdrawn
from neuroflow.domain import ENDED_RUN_STATUSES, RerunRequest, RunStatus, Stage
from neuroflow.errors import NotFoundError
from neuroflow.models import RunRow, SessionRow

_UNSUCCESSFUL = frozenset({RunStatus.FAILED, RunStatus.CANCELLED})


class RerunState(Store):
    """Ask for runs again."""

    def supersede_runs(
        self, requests: Sequence[RerunRequest], *, reason: str, actor: str = DEFAULT_ACTOR
    ) -> tuple[int, ...]:
        """Have runs run again, in one transaction; return the ids of those that will be.

        One that is open, has been replaced, or is to be run again already, is left alone: of two persons who ask at
        the same time the second changes nothing.
        """
        with self._write() as (session, now):
            entries: list[Audit] = []
            done: list[int] = []
            # In the order of ids, so that two persons at once can't lock each other out.
            superseded = set(_supersede(session, {one for request in requests for one in request.run_ids}, now))
            for request in requests:
                asked = sorted(superseded.intersection(request.run_ids))
                superseded.difference_update(asked)
                entries += [Audit(now, actor, "run.superseded", "run", run, None, None, reason) for run in asked]
                if asked and request.entity:
                    event, details = f"{request.entity}.rerun", {"runs": asked}
                    entries.append(
                        Audit(now, actor, event, request.entity, request.entity_id, None, None, reason, details)
                    )
                done += asked
            write_audits(session, entries)
        return tuple(done)

    def hasten_runs(self, run_ids: Collection[int], *, reason: str, actor: str = DEFAULT_ACTOR) -> tuple[int, ...]:
        """Have runs that wait for their next attempt make it now; return the ids of those that will."""
        with self._write() as (session, now):
            done: list[int] = []
            for run_id in sorted(run_ids):
                statement = (
                    update(RunRow)
                    .where(RunRow.id == run_id, RunRow.status == RunStatus.RETRY_WAIT)
                    .values(next_attempt_at=now, updated_at=now)
                    .returning(RunRow.id)
                    .execution_options(synchronize_session=False)
                )
                done += session.scalars(statement).all()
            write_audits(session, [Audit(now, actor, "run.hastened", "run", run, None, None, reason) for run in done])
        return tuple(done)

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
        with self._read() as session:
            newest = _newest_runs(session, session_id)
        request = RerunRequest(tuple(run.id for run in _chosen(newest, pipeline)), "session", session_id)
        return list(self.supersede_runs([request], reason=reason, actor=actor))


def _supersede(session: Session, run_ids: Collection[int], now: datetime) -> list[int]:
    """Mark runs; everything that they must still be is asked for again in the same statement."""
    done: list[int] = []
    for run_id in sorted(run_ids):
        statement = (
            update(RunRow)
            .where(RunRow.id == run_id, RunRow.status.in_(ENDED_RUN_STATUSES), RunRow.superseded.is_(False))
            .where(is_newest())
            .values(superseded=True, updated_at=now)
            .returning(RunRow.id)
            .execution_options(synchronize_session=False)
        )
        done += session.scalars(statement).all()
    return done


def _newest_runs(session: Session, session_id: int) -> list[RunRow]:
    """Return the newest run of each pipeline for a session and for its subject, oldest first."""
    subject_id = session.scalar(select(SessionRow.subject_id).where(SessionRow.id == session_id))
    if subject_id is None:
        raise NotFoundError(f"there is no session with the id {session_id}")
    newest = (
        select(func.max(RunRow.id))
        .where(RunRow.subject_id == subject_id, or_(RunRow.session_id == session_id, RunRow.session_id.is_(None)))
        .where(~was_withdrawn(RunRow))
        .group_by(RunRow.pipeline, RunRow.scope)
    )
    return list(session.scalars(select(RunRow).where(RunRow.id.in_(newest)).order_by(RunRow.id)))


def _chosen(newest: list[RunRow], pipeline: str | None) -> list[RunRow]:
    if pipeline is not None:
        return [run for run in newest if run.pipeline == pipeline]
    failed = [run for run in newest if run.status in _UNSUCCESSFUL]
    return failed or [run for run in newest if run.pipeline == Stage.BIDS_CONVERSION]
