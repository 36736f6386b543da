"""Runs: open them, read them, move them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import bindparam, func, or_, select, update
from sqlalchemy.orm import Session

from neuroflow.core import records
from neuroflow.core.audit import Audit, write_audit
from neuroflow.core.snapshot import read_snapshot
from neuroflow.core.store import (
    DEFAULT_ACTOR,
    IDS_PER_STATEMENT,
    Store,
    alone,
    attempt_is_open,
    insert_into,
    run_is_open,
)
from neuroflow.domain import (
    IN_FLIGHT_RUN_STATUSES,
    OPEN_RUN_STATUSES,
    RunProposal,
    RunRecord,
    RunStatus,
    Snapshot,
)
from neuroflow.errors import NotFoundError
from neuroflow.models import AttemptRow, AuditRow, RunRow, SessionRow, SubjectRow

_FORMER_RUNS = 10  # of a scope, that are looked at for who asked
_WHO_ASKED = (
    select(AuditRow.actor, AuditRow.reason)
    .where(AuditRow.entity == "run", AuditRow.entity_id == bindparam("run_id"), AuditRow.event == "run.superseded")
    .order_by(AuditRow.id.desc())
    .limit(1)
)


class RunState(Store):
    """Read and write runs."""

    def snapshot(self) -> Snapshot:
        """Return all sessions, every open run, and the newest ended run of each pipeline and scope.

        Sessions come without their series, ended runs without metrics and error message.
        """
        with self._read() as session:
            return read_snapshot(session, self._clock())

    def open_run(self, proposal: RunProposal, *, workflow_run_id: int | None = None) -> RunRecord | None:
        """Open the run that was proposed.

        None when one is open for its pipeline and scope, or when the newest one had the same inputs and nobody
        asked for it again: then the proposal comes from an old view of the database.
        """
        with self._write() as (session, now):
            alone(session, f"open:{proposal.pipeline}:{proposal.scope}")
            if not _is_wanted(session, proposal):
                return None
            origin = _origin(session, proposal)
            values = _new_run(proposal) | {
                "reason": origin.reason,
                "priority": origin.priority,
                "workflow_run_id": workflow_run_id,
                "created_at": now,
                "updated_at": now,
            }
            statement = insert_into(session, RunRow, values).on_conflict_do_nothing().returning(RunRow.id)
            run_id = session.scalar(statement)
            if run_id is None:
                return None
            mark_newest(session, run_id, pipeline=proposal.pipeline, scope=proposal.scope)
            entry = Audit(
                now,
                DEFAULT_ACTOR,
                "run.opened",
                "run",
                run_id,
                None,
                RunStatus.PENDING,
                origin.reason,
                {
                    "pipeline": proposal.pipeline,
                    "scope": proposal.scope,
                    "inputs_key": proposal.inputs_key,
                    **origin.details,
                },
            )
            write_audit(session, entry)
            return read_run(session, run_id)

    def get_run(self, run_id: int) -> RunRecord:
        """Return a run by id.

        Raises:
            NotFoundError: when there is none.
        """
        with self._read() as session:
            return read_run(session, run_id)

    def get_runs(self, run_ids: Collection[int]) -> dict[int, RunRecord]:
        """Return runs by id; those that are not there are left out."""
        found: dict[int, RunRecord] = {}
        ids = sorted(set(run_ids))
        with self._read() as session:
            for start in range(0, len(ids), IDS_PER_STATEMENT):
                query = records.runs().where(RunRow.id.in_(ids[start : start + IDS_PER_STATEMENT]))
                found |= {row.id: RunRecord(*row) for row in session.execute(query)}
        return found

    def list_runs(
        self,
        *,
        pipeline: str | None = None,
        status: RunStatus | Collection[RunStatus] | None = None,
        subject: str | None = None,
        session: str | None = None,
        open_only: bool = False,
        workflow_run_id: int | None = None,
        limit: int | None = None,
    ) -> list[RunRecord]:
        """Return runs, newest first, that match all of what is given; labels without `sub-` and `ses-`."""
        query = records.runs().order_by(RunRow.id.desc()).limit(limit)
        if pipeline is not None:
            query = query.where(RunRow.pipeline == pipeline)
        if status is not None:
            statuses = [RunStatus(status)] if isinstance(status, str) else list(status)
            query = query.where(RunRow.status.in_(statuses))
        if subject is not None:
            query = query.where(SubjectRow.label == subject)
        if session is not None:
            query = query.where(SessionRow.label == session)
        if open_only:
            query = query.where(run_is_open())
        if workflow_run_id is not None:
            query = query.where(RunRow.workflow_run_id == workflow_run_id)
        with self._read() as transaction:
            rows = transaction.execute(query).all()
        return [RunRecord(*row) for row in rows]

    def find_stale_runs(self, hours: float) -> list[RunRecord]:
        """Return the runs whose open attempt no witness has known for that long, oldest first.

        Cancelled ones as well: while their attempt is open, nothing new is executed for their scope.
        """
        limit = self._clock() - timedelta(hours=hours)
        last_known = func.coalesce(
            AttemptRow.last_seen_at, AttemptRow.submitted_at, AttemptRow.created_at, RunRow.updated_at
        )
        query = (
            records.runs()
            .outerjoin(AttemptRow, (AttemptRow.run_id == RunRow.id) & attempt_is_open())
            .where(or_(RunRow.status.in_(IN_FLIGHT_RUN_STATUSES), AttemptRow.id.is_not(None)), last_known < limit)
            .order_by(RunRow.id)
        )
        with self._read() as session:
            rows = session.execute(query).all()
        return [RunRecord(*row) for row in rows]


def _is_wanted(session: Session, proposal: RunProposal) -> bool:
    query = (
        select(RunRow.status, RunRow.inputs_key, RunRow.superseded)
        .where(RunRow.pipeline == proposal.pipeline, RunRow.scope == proposal.scope)
        .order_by(RunRow.id.desc())
        .limit(1)
    )
    newest = session.execute(query).first()
    if newest is None:
        return True
    return newest.status not in OPEN_RUN_STATUSES and (newest.superseded or newest.inputs_key != proposal.inputs_key)


def mark_newest(session: Session, run_id: int, *, pipeline: str, scope: str) -> None:
    """Note that a run that was just written is the newest of its scope, and that those before it no longer are."""
    earlier = (RunRow.pipeline == pipeline, RunRow.scope == scope, RunRow.id != run_id, RunRow.is_newest)
    statement = update(RunRow).where(*earlier).values(is_newest=False)
    session.execute(statement.execution_options(synchronize_session=False))


@dataclass(frozen=True)
class _Origin:
    """What a new run takes over from the run before it and from its subject, and why it is opened."""

    reason: str
    priority: int
    details: Mapping[str, object] = field(default_factory=dict)


def _origin(session: Session, proposal: RunProposal) -> _Origin:
    """Return why a run is opened, in the words of who asked for it, and with which priority."""
    query = (
        select(RunRow.id, RunRow.superseded, RunRow.priority)
        .where(RunRow.pipeline == proposal.pipeline, RunRow.scope == proposal.scope)
        .order_by(RunRow.id.desc())
        .limit(_FORMER_RUNS)
    )
    former = session.execute(query).all()
    if not former:
        of_subject = select(SubjectRow.priority).where(SubjectRow.id == proposal.subject_id)
        return _Origin(proposal.reason, session.scalar(of_subject) or 0)
    for run in former:
        if not run.superseded:
            break
        # One that was withdrawn before it started has nobody's word; whoever asked did so of the one before it.
        asked = session.execute(_WHO_ASKED, {"run_id": run.id}).first()
        if asked is not None:
            reason = f"asked for again by {asked.actor}" + (f": {asked.reason}" if asked.reason else "")
            return _Origin(reason, former[0].priority, {"in_place_of": run.id, "asked_by": asked.actor})
    return _Origin(proposal.reason, former[0].priority)


def _new_run(proposal: RunProposal) -> dict[str, Any]:
    return {
        "pipeline": proposal.pipeline,
        "level": proposal.level,
        "scope": proposal.scope,
        "subject_id": proposal.subject_id,
        "session_id": proposal.session_id,
        "inputs_key": proposal.inputs_key,
        "status": RunStatus.PENDING,
        "reason": proposal.reason,
        "superseded": False,
        "attempts": 0,
        "error_message": "",
        "exclude_nodes": (),
        "metrics": {},
    }


def read_run(session: Session, run_id: int) -> RunRecord:
    """Return a run inside a transaction.

    Raises:
        NotFoundError: when there is none.
    """
    row = session.execute(records.run_by_id(), {"run_id": run_id}).first()
    if row is None:
        raise NotFoundError(f"there is no run {run_id}", hint=_run_hint(session))
    return RunRecord(*row)


def _run_hint(session: Session) -> str:
    # One by one: SQLite reads the whole table for both at once.
    first, last = (session.scalar(select(end(RunRow.id))) for end in (func.min, func.max))
    if last is None:
        return "there are no runs yet: `neuroflow status` tells what is found, and what waits"
    known = f"the first is {first}, the newest {last}" if first != last else f"the only one is {last}"
    return f"{known}; `neuroflow runs list` lists them"
