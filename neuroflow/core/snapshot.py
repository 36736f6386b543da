"""The scheduler's view of the database, read in three queries however many runs have ended."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import and_, func, not_, select
from sqlalchemy.orm import Session

from neuroflow.core import records
from neuroflow.core.store import run_is_open
from neuroflow.domain import ENDED_RUN_STATUSES, RunRecord, RunStatus, SessionRecord, Snapshot
from neuroflow.models import RunRow


def read_snapshot(session: Session, now: datetime) -> Snapshot:
    """Read all sessions, every open run, and the newest ended run of each pipeline and scope."""
    withdrawn = and_(RunRow.status == RunStatus.CANCELLED, RunRow.superseded)  # RunRecord.was_withdrawn, in SQL
    newest_ended = (
        select(func.max(RunRow.id))
        .where(RunRow.status.in_(ENDED_RUN_STATUSES), not_(withdrawn))
        .group_by(RunRow.pipeline, RunRow.scope)
    )
    sessions = session.execute(records.sessions(with_series=False)).all()
    open_runs = session.execute(records.runs().where(run_is_open())).all()
    ended_runs = session.execute(records.runs(brief=True).where(RunRow.id.in_(newest_ended))).all()
    return Snapshot(
        now=now,
        sessions=tuple(SessionRecord(*row) for row in sessions),
        runs=tuple(RunRecord(*row) for row in (*open_runs, *ended_runs)),
    )
