"""The moves of runs and attempts inside a transaction: each one a compare-and-set with its audit row.

Rows are always locked in the order run, attempt; two transactions that keep to it can't block each other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from neuroflow.core.audit import Audit, write_audit
from neuroflow.core.store import DEFAULT_ACTOR, changed
from neuroflow.core.transitions import check_attempt_move, check_run_move
from neuroflow.domain import ENDED_RUN_STATUSES, AttemptStatus, FailureClass, Resources, RunStatus
from neuroflow.errors import NotFoundError, StateError
from neuroflow.models import AttemptRow, RunRow


class RunFields(TypedDict, total=False):
    """What may change together with a run's status."""

    failure: FailureClass | None
    error_message: str
    output_path: str | None
    metrics: Mapping[str, float | int | str]
    next_attempt_at: datetime | None
    resources: Resources | None
    exclude_nodes: tuple[str, ...]
    superseded: bool
    signature: str
    workflow_run_id: int | None


@dataclass(frozen=True)
class Cause:
    """Why something moves, who moved it, and when."""

    reason: str
    at: datetime
    actor: str = DEFAULT_ACTOR


def lock_run(session: Session, run_id: int) -> RunStatus:
    """Lock a run for this transaction and return its status.

    Raises:
        NotFoundError: when there is no such run.
    """
    # Not a full lock on PostgreSQL: other transactions may go on inserting rows that refer to the run.
    query = select(RunRow.status).where(RunRow.id == run_id).with_for_update(key_share=True)
    status = session.scalar(query)
    if status is None:
        raise NotFoundError(f"there is no run {run_id}")
    return status


def move_run(
    session: Session, run_id: int, *, before: RunStatus, to: RunStatus, cause: Cause, values: Mapping[str, Any]
) -> None:
    """Move a locked run, and write its audit row.

    Raises:
        IllegalMoveError: when the table does not list the move.
    """
    write_audit(session, store_run_move(session, run_id, before=before, to=to, cause=cause, values=values))


def store_run_move(
    session: Session, run_id: int, *, before: RunStatus, to: RunStatus, cause: Cause, values: Mapping[str, Any]
) -> Audit:
    """Move a locked run, and return its audit row, for the caller to write with others in the same transaction.

    Raises:
        IllegalMoveError: when the table does not list the move.
    """
    check_run_move(before, to, run_id=run_id)
    statement = (
        update(RunRow)
        .where(RunRow.id == run_id, RunRow.status == before)
        .values({**_consequences(to, cause), **values})
        .execution_options(synchronize_session=False)
    )
    if changed(session.execute(statement)) != 1:
        raise StateError(f"run {run_id} is no longer {before}, although it was locked", hint="")
    return Audit(cause.at, cause.actor, f"run.{to}", "run", run_id, before.value, to.value, cause.reason)


def _consequences(to: RunStatus, cause: Cause) -> dict[str, Any]:
    """Return what changes with a run's status."""
    values: dict[str, Any] = {"status": to, "reason": cause.reason, "updated_at": cause.at}
    if to is RunStatus.RUNNING:
        values["started_at"] = func.coalesce(RunRow.started_at, cause.at)
    if to in ENDED_RUN_STATUSES:
        values |= {"ended_at": cause.at, "next_attempt_at": None}
    if to is RunStatus.COMPLETED:
        values |= {"failure": None, "error_message": "", "signature": ""}
    return values


def lock_attempt(session: Session, attempt_id: int) -> tuple[int, RunStatus, AttemptStatus]:
    """Lock an attempt and its run; return the run's id and both statuses.

    Raises:
        NotFoundError: when there is no such attempt.
    """
    run_id = session.scalar(select(AttemptRow.run_id).where(AttemptRow.id == attempt_id))
    if run_id is None:
        raise NotFoundError(f"there is no attempt {attempt_id}")
    run_status = lock_run(session, run_id)
    status = session.scalars(select(AttemptRow.status).where(AttemptRow.id == attempt_id).with_for_update()).one()
    return run_id, run_status, status


@dataclass(frozen=True)
class Locked:
    """An attempt that is locked together with its run."""

    run_id: int
    run_status: RunStatus
    status: AttemptStatus


def lock_attempts(session: Session, attempt_ids: Collection[int]) -> dict[int, Locked]:
    """Lock many attempts and their runs, in two statements; return them by attempt.

    Raises:
        NotFoundError: when one is not there.
    """
    ids = sorted(set(attempt_ids))
    run_of = _pairs(session.execute(select(AttemptRow.id, AttemptRow.run_id).where(AttemptRow.id.in_(ids))))
    if len(run_of) < len(ids):
        raise NotFoundError(f"there is no attempt {', '.join(str(one) for one in ids if one not in run_of)}")
    runs = select(RunRow.id, RunRow.status).where(RunRow.id.in_(set(run_of.values()))).order_by(RunRow.id)
    run_statuses = _pairs(session.execute(runs.with_for_update(key_share=True)))
    attempts = select(AttemptRow.id, AttemptRow.status).where(AttemptRow.id.in_(ids)).order_by(AttemptRow.id)
    statuses = _pairs(session.execute(attempts.with_for_update()))
    return {one: Locked(run_of[one], run_statuses[run_of[one]], status) for one, status in statuses.items()}


def _pairs(rows: Iterable[Any]) -> dict[int, Any]:
    return {row[0]: row[1] for row in rows}


def move_attempt(
    session: Session,
    attempt_id: int,
    *,
    before: AttemptStatus,
    to: AttemptStatus,
    cause: Cause,
    values: Mapping[str, Any],
) -> None:
    """Move a locked attempt, and write its audit row.

    Raises:
        IllegalMoveError: when the table does not list the move.
    """
    write_audit(session, store_attempt_move(session, attempt_id, before=before, to=to, cause=cause, values=values))


def store_attempt_move(
    session: Session,
    attempt_id: int,
    *,
    before: AttemptStatus,
    to: AttemptStatus,
    cause: Cause,
    values: Mapping[str, Any],
) -> Audit:
    """Move a locked attempt, and return its audit row, for the caller to write with others in the same transaction.

    Raises:
        IllegalMoveError: when the table does not list the move.
    """
    check_attempt_move(before, to, attempt_id=attempt_id)
    statement = (
        update(AttemptRow)
        .where(AttemptRow.id == attempt_id, AttemptRow.status == before)
        .values(status=to, **values)
        .execution_options(synchronize_session=False)
    )
    if changed(session.execute(statement)) != 1:
        raise StateError(f"attempt {attempt_id} is no longer {before}, although it was locked", hint="")
    return Audit(cause.at, cause.actor, f"attempt.{to}", "attempt", attempt_id, before.value, to.value, cause.reason)
