"""Attempts: their submission, and what witnesses see of them while they are open."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from statistics import median
from typing import Any

from sqlalchemy import Select, func, select, update
from sqlalchemy.orm import Session

from neuroflow.core import records
from neuroflow.core.moves import Cause, lock_attempt, move_attempt, move_run
from neuroflow.core.store import IDS_PER_STATEMENT, Store, attempt_is_open, in_chunks
from neuroflow.core.verdicts import retry_values
from neuroflow.domain import (
    AttemptRecord,
    AttemptStatus,
    FailureClass,
    RetryDecision,
    RunStatus,
    Spent,
)
from neuroflow.errors import NotFoundError
from neuroflow.models import AttemptRow, RunRow


class AttemptState(Store):
    """Read attempts, and write what happens to them before their verdict."""

    def open_attempts(self) -> list[AttemptRecord]:
        """Return the attempts without a verdict, oldest first; those of cancelled runs as well."""
        return self._attempts(records.attempts().where(attempt_is_open()).order_by(AttemptRow.id))

    def attempts_of_cancelled_runs(self) -> frozenset[int]:
        """Return the ids of the attempts without a verdict whose runs were cancelled."""
        query = select(AttemptRow.id).join(RunRow, RunRow.id == AttemptRow.run_id)
        query = query.where(attempt_is_open(), RunRow.status == RunStatus.CANCELLED)
        with self._read() as session:
            return frozenset(session.scalars(query))

    def newest_attempt_id(self) -> int:
        """Return the id of the newest attempt, 0 before the first."""
        with self._read() as session:
            return session.scalars(select(func.coalesce(func.max(AttemptRow.id), 0))).one()

    def count_attempts_since(self, attempt_id: int, *, where: str) -> int:
        """Return how many attempts, open still, were made on a cluster after the one with that id."""
        query = select(func.count()).where(AttemptRow.id > attempt_id, AttemptRow.where == where, attempt_is_open())
        with self._read() as session:
            return session.scalars(query).one()

    def attempts_of(self, run_id: int) -> list[AttemptRecord]:
        """Return a run's attempts, first to last."""
        return self._attempts(records.attempts().where(AttemptRow.run_id == run_id).order_by(AttemptRow.number))

    def open_attempts_of(self, run_ids: Collection[int]) -> list[AttemptRecord]:
        """Return the open attempts of some runs, by run."""
        found: list[AttemptRecord] = []
        for ids in in_chunks(sorted(set(run_ids))):
            query = records.attempts().where(AttemptRow.run_id.in_(ids), attempt_is_open())
            found += self._attempts(query.order_by(AttemptRow.run_id))
        return found

    def typical_use(self, *, attempts: int = 2000) -> dict[str, Spent]:
        """Return what successful attempts took, by pipeline, as the last attempts of all tell."""
        last = select(AttemptRow.id).where(AttemptRow.ended_at.is_not(None)).order_by(AttemptRow.ended_at.desc())
        query = (
            select(RunRow.pipeline, AttemptRow.started_at, AttemptRow.ended_at, AttemptRow.resources)
            .join(RunRow, RunRow.id == AttemptRow.run_id)
            .where(AttemptRow.id.in_(last.limit(attempts).scalar_subquery()))
            .where(AttemptRow.status == AttemptStatus.SUCCEEDED, AttemptRow.started_at.is_not(None))
            .order_by(AttemptRow.ended_at.desc())
        )
        hours: dict[str, list[float]] = {}
        cpus: dict[str, int] = {}
        with self._read() as session:
            for row in session.execute(query):
                if row.started_at is not None and row.ended_at is not None:
                    hours.setdefault(row.pipeline, []).append((row.ended_at - row.started_at).total_seconds() / 3600)
                    cpus.setdefault(row.pipeline, row.resources.cpus)
        return {name: Spent(len(values), median(values), cpus[name]) for name, values in hours.items()}

    def attempts_of_all(self, run_ids: Collection[int]) -> dict[int, list[AttemptRecord]]:
        """Return the attempts of several runs, first to last, by run."""
        ids = sorted(set(run_ids))
        found: dict[int, list[AttemptRecord]] = {run_id: [] for run_id in ids}
        for start in range(0, len(ids), IDS_PER_STATEMENT):
            query = records.attempts().where(AttemptRow.run_id.in_(ids[start : start + IDS_PER_STATEMENT]))
            for attempt in self._attempts(query.order_by(AttemptRow.run_id, AttemptRow.number)):
                found[attempt.run_id].append(attempt)
        return found

    def latest_attempt(self, run_id: int) -> AttemptRecord | None:
        """Return a run's last attempt, None before the first."""
        query = records.attempts().where(AttemptRow.run_id == run_id).order_by(AttemptRow.number.desc()).limit(1)
        return next(iter(self._attempts(query)), None)

    def get_attempt(self, attempt_id: int) -> AttemptRecord:
        """Return an attempt by id.

        Raises:
            NotFoundError: when there is none.
        """
        found = self._attempts(records.attempts().where(AttemptRow.id == attempt_id))
        if not found:
            raise NotFoundError(f"there is no attempt {attempt_id}")
        return found[0]

    def find_attempts(self, tokens: Collection[str]) -> list[AttemptRecord]:
        """Return the attempts with these tokens, in no order; unknown tokens are left out."""
        names = sorted(tokens)
        found: list[AttemptRecord] = []
        for start in range(0, len(names), IDS_PER_STATEMENT):
            chunk = names[start : start + IDS_PER_STATEMENT]
            found += self._attempts(records.attempts().where(AttemptRow.token.in_(chunk)))
        return found

    def array_members(self, array_tokens: Collection[str]) -> dict[str, list[str]]:
        """Return the tokens of the attempts of each array that is known."""
        if not array_tokens:
            return {}
        wanted = set(array_tokens)
        found: dict[str, list[str]] = {}
        query = select(AttemptRow.array_token, AttemptRow.token).where(AttemptRow.array_token.is_not(None))
        with self._read() as session:
            for array, token in session.execute(query):
                if array in wanted:
                    found.setdefault(array, []).append(token)
        return found

    def unknown_job_names(self, names: Collection[str]) -> set[str]:
        """Return which of some job names are neither an attempt's token nor that of an array."""
        unknown = set(names)
        with self._read() as session:
            for column in (AttemptRow.token, AttemptRow.array_token):
                for name in sorted(unknown):
                    if session.scalar(select(AttemptRow.id).where(column == name).limit(1)) is not None:
                        unknown.discard(name)
        return unknown

    def record_submitted(self, attempt_id: int, job_id: str) -> bool:
        """Store the job id of an attempt that is being submitted; tell whether it still was.

        The id is stored even when the run was cancelled meanwhile: the job exists, and has to be cancelled too.
        """
        return self.record_all_submitted({attempt_id: job_id}) == 1

    def record_all_submitted(self, job_ids: Mapping[int, str]) -> int:
        """Store the job ids of many attempts, by attempt id, in one transaction; return how many were submitting."""
        with self._write() as (session, now):
            return sum(
                _store_submitted(session, attempt_id, job_ids[attempt_id], now) for attempt_id in sorted(job_ids)
            )

    def record_submission_failed(
        self,
        attempt_id: int,
        *,
        reason: str,
        decision: RetryDecision,
        failure: FailureClass | None,
        signature: str = "",
    ) -> bool:
        """End an attempt of which no job exists, and move its run as decided; False when it isn't being submitted."""
        with self._write() as (session, now):
            run_id, run_status, status = lock_attempt(session, attempt_id)
            if status is not AttemptStatus.SUBMITTING:
                return False
            values = {
                "failure": failure,
                "message": reason,
                "counted": decision.counted,
                "signature": signature,
                "ended_at": now,
            }
            cause = Cause(f"not submitted: {reason}", now)
            move_attempt(session, attempt_id, before=status, to=AttemptStatus.FAILED, cause=cause, values=values)
            if run_status is RunStatus.SUBMITTING:
                move_run(
                    session,
                    run_id,
                    before=run_status,
                    to=decision.status,
                    cause=Cause(decision.reason, now),
                    values=retry_values(decision, failure=failure, message=reason, signature=signature),
                )
            return True

    def _attempts(self, query: Select[Any]) -> list[AttemptRecord]:
        with self._read() as session:
            rows = session.execute(query).all()
        return [AttemptRecord(*row) for row in rows]


def _store_submitted(session: Session, attempt_id: int, job_id: str, now: datetime) -> bool:
    run_id, run_status, status = lock_attempt(session, attempt_id)
    if status is not AttemptStatus.SUBMITTING:
        _store_missing_job_id(session, attempt_id, job_id)
        return False
    cause = Cause(f"submitted as job {job_id}", now)
    values = {"job_id": job_id, "submitted_at": now}
    move_attempt(session, attempt_id, before=status, to=AttemptStatus.SUBMITTED, cause=cause, values=values)
    if run_status is RunStatus.SUBMITTING:
        move_run(session, run_id, before=run_status, to=RunStatus.SUBMITTED, cause=cause, values={})
    return True


def _store_missing_job_id(session: Session, attempt_id: int, job_id: str) -> None:
    statement = update(AttemptRow).where(AttemptRow.id == attempt_id, AttemptRow.job_id.is_(None))
    session.execute(statement.values(job_id=job_id))
