"""Bring a restored database up to what has happened since: take in the attempts that it does not know.

A run is opened only when none is open for its pipeline and scope, and gets a further attempt only when the former one
is dead. So a newer run proves that the older ones of its scope have ended, and a newer attempt that the older ones have
failed. The newest attempt of the newest run is taken in as open: the next poll looks at its job and its exit record,
and judges it as any other.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from pathlib import Path

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from neuroflow.core import portable
from neuroflow.core.audit import Audit, write_audit
from neuroflow.core.backups import restore_backup
from neuroflow.core.database import Database
from neuroflow.core.holds import write_hold
from neuroflow.core.moves import Cause, move_attempt, move_run
from neuroflow.core.runs import mark_newest
from neuroflow.core.store import attempt_is_open, run_is_open
from neuroflow.domain import (
    ENDED_RUN_STATUSES,
    IN_FLIGHT_RUN_STATUSES,
    AttemptStatus,
    FailureClass,
    JournalEntry,
    Level,
    RunOrigin,
    RunStatus,
    SessionStatus,
)
from neuroflow.models import AttemptRow, RunRow, SessionRow, SubjectRow

# Ids of runs that left no folder behind are passed over as well: they name work directories, and stand in inputs keys.
ID_GAP = 1000
_LOST = "its verdict was lost with the database"


@dataclass(frozen=True)
class Refused:
    """An attempt that could not be taken in: it must never work, or publish, from now on."""

    entry: JournalEntry
    reason: str


@dataclass
class Adoption:
    """What was taken in, what that proved to have ended, and what was refused."""

    adopted: list[JournalEntry] = field(default_factory=list)
    closed_runs: list[int] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)

    @property
    def pipelines(self) -> set[str]:
        """The pipelines in which something has happened since the backup."""
        return {entry.pipeline for entry in self.adopted} | {item.entry.pipeline for item in self.refused}


def restore_and_adopt(
    database: Database,
    path: Path,
    *,
    now: datetime,
    actor: str,
    published: Callable[[str], bool],
    finish: Callable[[Adopter], Adoption],
) -> Adoption:
    """Put a backup back, and let `finish` take in what it lacks, all in one transaction.

    Raises:
        StateError: when the backup or the database can't be used; nothing has changed then.
    """
    return restore_backup(database, path, finish=lambda session: finish(Adopter(session, now, actor, published)))


@dataclass(frozen=True)
class Adopter:
    """Takes attempts into a restored database, inside the transaction that restores it."""

    session: Session
    now: datetime
    actor: str
    published: Callable[[str], bool]  # whether an attempt's exit record, by its token, says that it published

    def adopt(self, entries_but: Callable[[Container[str]], Iterable[JournalEntry]]) -> Adoption:
        """Take in the attempts that the database does not know.

        Args:
            entries_but: gives what there is on disk, but for the tokens that it is given.
        """
        known = set(self.session.scalars(select(AttemptRow.token)))
        unknown = sorted(entries_but(known), key=lambda entry: (entry.run_id, entry.number, entry.created_at))
        adoption = Adoption()
        for run_id, group in groupby(unknown, key=lambda entry: entry.run_id):
            attempts = list(group)
            problem = self._make_run(run_id, attempts, adoption) or ""
            if problem:
                adoption.refused += [Refused(entry, problem) for entry in attempts]
            else:
                self._take_in(run_id, attempts)
                adoption.adopted += attempts
        if unknown:
            self._pass_over_ids(unknown[-1].run_id)
        return adoption

    def hold(self, pipeline: str, *, reason: str) -> None:
        """Hold a pipeline, so that nothing of it starts before a person has looked."""
        write_hold(self.session, pipeline, {"held": True, "reason": reason}, self.now)
        write_audit(
            self.session,
            Audit(self.now, self.actor, "pipeline.held", "pipeline", None, None, pipeline, reason),
        )

    def _pass_over_ids(self, highest: int) -> None:
        connection = self.session.connection()
        name = RunRow.__tablename__
        last = portable.last_ids(connection, [portable.reflect(connection).tables[name]])[name]
        portable.set_last_id(connection, name, max(last, highest) + ID_GAP)

    def _make_run(self, run_id: int, attempts: Sequence[JournalEntry], adoption: Adoption) -> str:
        """Make sure that the run is there and may have attempts; return what forbids it."""
        first = attempts[0]
        row = self.session.execute(
            select(RunRow.pipeline, RunRow.scope, RunRow.status).where(RunRow.id == run_id)
        ).first()
        if row is not None:
            if row.pipeline != first.pipeline or (first.scope and row.scope != first.scope):
                return f"run {run_id} of the backup is {row.pipeline} {row.scope}: another one with the same number"
            return f"run {run_id} had ended as {row.status} before" if row.status in ENDED_RUN_STATUSES else ""
        origin = next((entry.origin for entry in attempts if entry.origin is not None), None)
        if origin is None:
            return f"run {run_id} was opened after the backup, and its folder does not say over which inputs"
        later = select(RunRow.id).where(
            RunRow.pipeline == first.pipeline, RunRow.scope == first.scope, RunRow.id > run_id
        )
        if (newer := self.session.scalar(later.limit(1))) is not None:
            return f"the backup has a later run of its scope, {newer}, and not run {run_id}"
        adoption.closed_runs += self._close_open_runs(first.pipeline, first.scope)
        self._insert_run(run_id, first, origin)
        return ""

    def _close_open_runs(self, pipeline: str, scope: str) -> list[int]:
        query = select(RunRow.id, RunRow.status).where(RunRow.pipeline == pipeline, RunRow.scope == scope)
        closed = []
        for run_id, status in self.session.execute(query.where(run_is_open())).all():
            succeeded = self._end_open_attempt(run_id, "a newer run of its scope was opened after the backup")
            cause = Cause("it ended after the backup: a newer run of its scope was opened", self.now, self.actor)
            to = RunStatus.COMPLETED if succeeded else RunStatus.FAILED
            if status not in IN_FLIGHT_RUN_STATUSES:
                to = RunStatus.CANCELLED
            move_run(self.session, run_id, before=status, to=to, cause=cause, values={"superseded": True})
            closed.append(run_id)
        return closed

    def _end_open_attempt(self, run_id: int, reason: str) -> bool:
        """End the open attempt of a run, if there is one; tell whether it had published its results."""
        query = select(AttemptRow.id, AttemptRow.status, AttemptRow.token).where(AttemptRow.run_id == run_id)
        row = self.session.execute(query.where(attempt_is_open())).first()
        if row is None:
            return False
        succeeded = self.published(row.token)
        values = {"ended_at": self.now, "message": f"{_LOST}: {reason}"}
        if not succeeded:
            values["failure"] = FailureClass.NODE
        to = AttemptStatus.SUCCEEDED if succeeded else AttemptStatus.FAILED
        cause = Cause(f"{_LOST}: {reason}", self.now, self.actor)
        move_attempt(self.session, row.id, before=row.status, to=to, cause=cause, values=values)
        return succeeded

    def _insert_run(self, run_id: int, entry: JournalEntry, origin: RunOrigin) -> None:
        subject_id = self._subject(origin.subject)
        of_session = origin.level is Level.SESSION and origin.session is not None
        values = {
            "id": run_id,
            "pipeline": entry.pipeline,
            "level": origin.level,
            "scope": entry.scope,
            "subject_id": subject_id,
            "session_id": self._session_id(subject_id, str(origin.session)) if of_session else None,
            "inputs_key": origin.inputs_key,
            "status": RunStatus.PENDING,
            "reason": "opened after the backup; taken in from its attempt's folder",
            "superseded": False,
            "attempts": 0,
            "error_message": "",
            "exclude_nodes": (),
            "metrics": {},
            "signature": "",
            "resolution": "",
            "created_at": entry.created_at,
            "updated_at": self.now,
        }
        self.session.execute(insert(RunRow).values(values))
        mark_newest(self.session, run_id, pipeline=entry.pipeline, scope=entry.scope)
        self._audit("run.adopted", "run", run_id, RunStatus.PENDING, values["reason"])

    def _subject(self, label: str) -> int:
        found = self.session.scalar(select(SubjectRow.id).where(SubjectRow.label == label))
        if found is not None:
            return found
        statement = insert(SubjectRow).values(label=label, created_at=self.now).returning(SubjectRow.id)
        return self.session.scalars(statement).one()

    def _session_id(self, subject_id: int, label: str) -> int:
        query = select(SessionRow.id).where(SessionRow.subject_id == subject_id, SessionRow.label == label)
        found = self.session.scalar(query)
        if found is not None:
            return found
        values = {
            "subject_id": subject_id,
            "label": label,
            "path": "",  # the next scan finds its folder, and whatever else there is to know of it
            "status": SessionStatus.SETTLING,
            "status_reason": "found after the backup that was restored; the next scan looks at it",
            "fingerprint": "",
            "fingerprint_since": self.now,
            "files": 0,
            "bytes": 0,
            "newest_mtime": 0.0,
            "series": (),
            "problems": (),
            "created_at": self.now,
            "updated_at": self.now,
        }
        return self.session.scalars(insert(SessionRow).values(values).returning(SessionRow.id)).one()

    def _take_in(self, run_id: int, attempts: Sequence[JournalEntry]) -> None:
        self._end_open_attempt(run_id, "the run had a further attempt after the backup")
        last = select(func.coalesce(func.max(AttemptRow.number), 0)).where(AttemptRow.run_id == run_id)
        number = self.session.scalars(last).one()
        for entry in attempts[:-1]:
            number = max(number + 1, entry.number)
            self._insert_attempt(entry, number, AttemptStatus.FAILED)
        newest = attempts[-1]
        number = max(number + 1, newest.number)
        status = AttemptStatus.SUBMITTING if newest.job_id is None else AttemptStatus.SUBMITTED
        self._insert_attempt(newest, number, status)
        self._move_to(run_id, RunStatus(status.value), f"attempt {number} was made after the backup")

    def _move_to(self, run_id: int, to: RunStatus, reason: str) -> None:
        status = self.session.scalars(select(RunRow.status).where(RunRow.id == run_id)).one()
        path = {
            RunStatus.SUBMITTED: (RunStatus.RETRY_WAIT, RunStatus.SUBMITTING),
            RunStatus.RUNNING: (RunStatus.RETRY_WAIT, RunStatus.SUBMITTING),
            RunStatus.SUBMITTING: (),
        }.get(status, (RunStatus.SUBMITTING,))
        for step in dict.fromkeys((*path, to)):
            if step is not status:
                cause = Cause(reason, self.now, self.actor)
                move_run(self.session, run_id, before=status, to=step, cause=cause, values={"next_attempt_at": None})
                status = step

    def _insert_attempt(self, entry: JournalEntry, number: int, status: AttemptStatus) -> None:
        failed = status is AttemptStatus.FAILED
        values = {
            "run_id": entry.run_id,
            "number": number,
            "token": entry.token,
            "status": status,
            "where": entry.where,
            "folder": entry.folder,
            "job_id": entry.job_id,
            "job_word": "",
            "job_reason": "taken in after a restore",
            "resources": entry.resources,
            "counted": True,
            "failure": FailureClass.NODE if failed else None,
            "message": f"{_LOST}: the run had a further attempt" if failed else "",
            "host": "",
            "image": entry.image,
            "created_at": entry.created_at,
            "submitted_at": entry.created_at if entry.job_id is not None else None,
            "ended_at": self.now if failed else None,
            "array_token": entry.array_token,
            "array_index": entry.array_index,
            "signature": "",
        }
        attempt_id = self.session.scalars(insert(AttemptRow).values(values).returning(AttemptRow.id)).one()
        self._audit("attempt.adopted", "attempt", attempt_id, status, f"found in {entry.folder}")

    def _audit(self, event: str, entity: str, entity_id: int, after: str, reason: object) -> None:
        write_audit(self.session, Audit(self.now, self.actor, event, entity, entity_id, None, str(after), str(reason)))
