"""Sightings: what one poll saw of the attempts that go on, written down for all of them at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Table, bindparam, select, update
from sqlalchemy.orm import Session

from neuroflow.core.moves import Cause, lock_attempt, move_attempt, move_run
from neuroflow.core.store import IDS_PER_STATEMENT, Store, attempt_is_open
from neuroflow.domain import OPEN_ATTEMPT_STATUSES, AttemptStatus, RunStatus
from neuroflow.models import AttemptRow, RunRow

_NOT_RUNNING = frozenset({AttemptStatus.SUBMITTING, AttemptStatus.SUBMITTED})
_RUN_NOT_RUNNING = frozenset({RunStatus.SUBMITTING, RunStatus.SUBMITTED})


@dataclass(frozen=True)
class SeenAttempt:
    """What one poll saw of an attempt that goes on."""

    attempt_id: int
    word: str
    reason: str
    running: bool
    seen: bool  # a witness knew it
    host: str = ""
    requeued: bool = False  # it ran, and waits again: SLURM put its job back into the queue


class SightingState(Store):
    """Write down what witnesses see of open attempts."""

    def record_sightings(self, sightings: Sequence[SeenAttempt]) -> None:
        """Store what one poll saw of many attempts; ended attempts are left alone.

        The few whose status changes are moved one by one in a first transaction, all others share the second.
        """
        found = sorted(sightings, key=lambda item: item.attempt_id)
        with self._read() as session:
            known = _stored(session, found)
        moving = [seen for seen in found if seen.attempt_id in known and _moves(seen, known[seen.attempt_id])]
        moved = {seen.attempt_id for seen in moving}
        staying = [seen for seen in found if seen.attempt_id in known and seen.attempt_id not in moved]
        if moving:
            with self._write() as (session, now):
                # In the order of ids, so that two polls at once can't lock each other out.
                for seen in moving:
                    _store_sighting(session, seen, now)
        if staying:
            with self._write() as (session, now):
                _store_unmoved(session, staying, known, now)


@dataclass(frozen=True)
class _Stored:
    """What the database holds of an open attempt."""

    run_status: RunStatus
    status: AttemptStatus
    word: str
    reason: str
    host: str


def _stored(session: Session, sightings: Sequence[SeenAttempt]) -> dict[int, _Stored]:
    """Return the attempts among the seen ones that are open, by id."""
    query = (
        select(
            AttemptRow.id,
            RunRow.status,
            AttemptRow.status,
            AttemptRow.job_word,
            AttemptRow.job_reason,
            AttemptRow.host,
        )
        .join(RunRow, RunRow.id == AttemptRow.run_id)
        .where(attempt_is_open())
    )
    wanted = {seen.attempt_id for seen in sightings}
    return {row[0]: _Stored(*row[1:]) for row in session.execute(query) if row[0] in wanted}


def _moves(seen: SeenAttempt, stored: _Stored) -> bool:
    """Tell whether an attempt, or its run, is now seen to run, or to run no longer."""
    if seen.requeued:
        return stored.status is AttemptStatus.RUNNING or stored.run_status is RunStatus.RUNNING
    return seen.running and (stored.status in _NOT_RUNNING or stored.run_status in _RUN_NOT_RUNNING)


def _store_unmoved(
    session: Session, sightings: Sequence[SeenAttempt], known: Mapping[int, _Stored], now: datetime
) -> None:
    """Store the sightings of attempts that stay as they are: new words one by one, the time of all at once."""
    still_open: set[int] = set()
    for chunk in _chunks([seen.attempt_id for seen in sightings]):
        query = select(AttemptRow.id).where(AttemptRow.id.in_(chunk), attempt_is_open()).order_by(AttemptRow.id)
        still_open.update(session.scalars(query.with_for_update(key_share=True)))
    sightings = [seen for seen in sightings if seen.attempt_id in still_open]
    table = cast("Table", AttemptRow.__table__)
    new_words = [_new_words(seen, known[seen.attempt_id]) for seen in sightings if _differs(seen, known)]
    if new_words:
        columns: dict[str, Any] = {name: bindparam(f"new_{name}") for name in ("job_word", "job_reason", "host")}
        statement = update(table).where(table.c.id == bindparam("of")).values(**columns)
        session.connection().execute(statement, new_words)
    for chunk in _chunks([seen.attempt_id for seen in sightings if seen.seen]):
        session.connection().execute(update(table).where(table.c.id.in_(chunk)).values(last_seen_at=now))


def _differs(seen: SeenAttempt, known: Mapping[int, _Stored]) -> bool:
    stored = known[seen.attempt_id]
    return (seen.word, seen.reason, seen.host or stored.host) != (stored.word, stored.reason, stored.host)


def _new_words(seen: SeenAttempt, stored: _Stored) -> dict[str, Any]:
    return {
        "of": seen.attempt_id,
        "new_job_word": seen.word,
        "new_job_reason": seen.reason,
        "new_host": seen.host or stored.host,
    }


def _chunks(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), IDS_PER_STATEMENT):
        yield ids[start : start + IDS_PER_STATEMENT]


def _store_sighting(session: Session, seen: SeenAttempt, now: datetime) -> None:
    run_id, run_status, status = lock_attempt(session, seen.attempt_id)
    if status not in OPEN_ATTEMPT_STATUSES:
        return
    values: dict[str, Any] = {"job_word": seen.word, "job_reason": seen.reason}
    if seen.seen:
        values["last_seen_at"] = now
    if seen.host:
        values["host"] = seen.host
    move = _move(seen, now)
    if move is None or status not in move.attempts_from:
        session.execute(update(AttemptRow).where(AttemptRow.id == seen.attempt_id).values(values))
    else:
        values["started_at"] = move.started_at
        move_attempt(session, seen.attempt_id, before=status, to=move.attempt_to, cause=move.cause, values=values)
    if move is not None and run_status in move.runs_from:
        move_run(session, run_id, before=run_status, to=move.run_to, cause=move.cause, values={})


@dataclass(frozen=True)
class _Move:
    """Where a sighting takes an attempt and its run, each only from where they may be."""

    cause: Cause
    attempts_from: frozenset[AttemptStatus]
    attempt_to: AttemptStatus
    runs_from: frozenset[RunStatus]
    run_to: RunStatus
    started_at: datetime | None


def _move(seen: SeenAttempt, now: datetime) -> _Move | None:
    if seen.requeued:
        return _Move(
            cause=Cause(f"the job was requeued and waits again; {seen.reason}", now),
            attempts_from=frozenset({AttemptStatus.RUNNING}),
            attempt_to=AttemptStatus.SUBMITTED,
            runs_from=frozenset({RunStatus.RUNNING}),
            run_to=RunStatus.SUBMITTED,
            started_at=None,
        )
    if seen.running:
        return _Move(
            cause=Cause(f"the job runs{f' on {seen.host}' if seen.host else ''}", now),
            attempts_from=_NOT_RUNNING,
            attempt_to=AttemptStatus.RUNNING,
            runs_from=_RUN_NOT_RUNNING,
            run_to=RunStatus.RUNNING,
            started_at=now,
        )
    return None
