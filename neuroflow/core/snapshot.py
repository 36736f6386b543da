"""The scheduler's view of the database, read in three queries however many runs have ended."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import func, not_, select
from sqlalchemy.orm import Session

from neuroflow.core import records
from neuroflow.core.store import run_is_open, was_withdrawn
from neuroflow.domain import ENDED_RUN_STATUSES, RunRecord, SessionRecord, Snapshot
from neuroflow.models import RunRow, SessionRow


def read_snapshot(session: Session, now: datetime, *, subject_ids: Collection[int] | None = None) -> Snapshot:
    """Read all sessions, every open run, and the newest ended run of each pipeline and scope.

    Args:
        subject_ids: of these subjects only, as many as one statement takes; None: of all.
    """
    newest_ended = (
        select(func.max(RunRow.id))
        .where(RunRow.status.in_(ENDED_RUN_STATUSES), not_(was_withdrawn(RunRow)))
        .group_by(RunRow.pipeline, RunRow.scope)
    )
    of_sessions = records.sessions(with_series=False)
    # Of some subjects, nothing but their few runs is read, whatever the planner makes of the index on all open ones.
    of_open, of_ended = records.runs().where(run_is_open()), records.runs(brief=True)
    if subject_ids is not None:
        newest_ended = newest_ended.where(RunRow.subject_id.in_(subject_ids))
        of_sessions = of_sessions.where(SessionRow.subject_id.in_(subject_ids))
        of_open, of_ended = (query.where(RunRow.subject_id.in_(subject_ids)) for query in (of_open, of_ended))
    sessions = session.execute(of_sessions).all()
    open_runs = session.execute(of_open).all()
    ended_runs = session.execute(of_ended.where(RunRow.id.in_(newest_ended))).all()
    return Snapshot(
        now=now,
        sessions=tuple(SessionRecord(*row) for row in sessions),
        runs=tuple(RunRecord(*row) for row in (*open_runs, *ended_runs)),
    )
