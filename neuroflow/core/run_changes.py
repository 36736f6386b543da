"""Changes of runs: moves that are asked for, updates, cancelling, callbacks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Unpack

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from neuroflow.core.audit import write_audits
from neuroflow.core.moves import Cause, RunFields, lock_run, move_run, store_run_move
from neuroflow.core.runs import read_run
from neuroflow.core.store import DEFAULT_ACTOR, Store, attempt_is_open, insert_into
from neuroflow.core.transitions import check_run_move
from neuroflow.domain import OPEN_RUN_STATUSES, FailureClass, RunRecord, RunStatus
from neuroflow.errors import IllegalMoveError
from neuroflow.models import AttemptRow, CallbackRow, RunRow

# A run that goes back to one of these can be claimed again, so nothing of it may still be executing.
_CLAIMABLE_AGAIN = frozenset({RunStatus.PENDING, RunStatus.QUEUED, RunStatus.RETRY_WAIT})


class RunChangeState(Store):
    """Change runs."""

    def move_run(
        self,
        run_id: int,
        *,
        expected: Collection[RunStatus],
        to: RunStatus,
        reason: str,
        actor: str = DEFAULT_ACTOR,
        **fields: Unpack[RunFields],
    ) -> bool:
        """Move a run if its status is one of `expected`; tell whether it moved.

        Raises:
            IllegalMoveError: when the table lacks the move from any of `expected`, or an attempt is still open.
            NotFoundError: when there is no such run.
        """
        for before in expected:
            check_run_move(before, to, run_id=run_id)
        with self._write() as (session, now):
            status = lock_run(session, run_id)
            if status not in expected:
                return False
            _refuse_open_attempt(session, run_id, to)
            move_run(session, run_id, before=status, to=to, cause=Cause(reason, now, actor), values=_known(fields))
            return True

    def queue_runs(self, run_ids: Collection[int], *, reason: str) -> int:
        """Mark the waiting ones of some runs as queued, in one transaction; return how many were."""
        moved = 0
        with self._write() as (session, now):
            for run_id in sorted(run_ids):
                status = lock_run(session, run_id)
                if status in (RunStatus.PENDING, RunStatus.RETRY_WAIT):
                    move_run(session, run_id, before=status, to=RunStatus.QUEUED, cause=Cause(reason, now), values={})
                    moved += 1
        return moved

    def update_pipeline_run(
        self,
        run_id: int,
        *,
        status: RunStatus | None = None,
        reason: str = "",
        error_message: str | None = None,
        output_path: str | None = None,
        metrics: Mapping[str, float | int | str] | None = None,
        failure: FailureClass | None = None,
    ) -> RunRecord:
        """Change what is given of a run; the status only by a legal move, and not at all when it is that already.

        Raises:
            IllegalMoveError: when the table lacks the move, or an attempt is still open.
            NotFoundError: when there is no such run.
        """
        given = {
            "error_message": error_message,
            "output_path": output_path,
            "metrics": metrics,
            "failure": failure,
        }
        values: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        with self._write() as (session, now):
            before = lock_run(session, run_id)
            if status is None or status is before:
                values |= {"updated_at": now} | ({"reason": reason} if reason else {})
                session.execute(update(RunRow).where(RunRow.id == run_id).values(values))
            else:
                _refuse_open_attempt(session, run_id, status)
                move_run(session, run_id, before=before, to=status, cause=Cause(reason, now), values=values)
            return read_run(session, run_id)

    def cancel_run(self, run_id: int, *, reason: str, actor: str) -> RunRecord:
        """Cancel an open run; a run that is cancelled stays so.

        Its open attempt stays open until a witness says that the job has ended, so that a job which could not be
        cancelled is not forgotten.

        Raises:
            IllegalMoveError: when the run has completed or failed.
            NotFoundError: when there is no such run.
        """
        with self._write() as (session, now):
            before = lock_run(session, run_id)
            if before is not RunStatus.CANCELLED:
                values = {"failure": FailureClass.CANCELLED}
                cause = Cause(reason, now, actor)
                move_run(session, run_id, before=before, to=RunStatus.CANCELLED, cause=cause, values=values)
            return read_run(session, run_id)

    def cancel_runs(self, run_ids: Collection[int], *, reason: str, actor: str) -> tuple[int, ...]:
        """Cancel the open ones of some runs, in one transaction; return which were.

        As with `cancel_run`, their open attempts stay so until a witness says that the jobs have ended.
        """
        cancelled = []
        with self._write() as (session, now):
            entries = []
            cause = Cause(reason, now, actor)
            values = {"failure": FailureClass.CANCELLED}
            for run_id in sorted(set(run_ids)):
                before = lock_run(session, run_id)
                if before in OPEN_RUN_STATUSES:
                    entries.append(
                        store_run_move(
                            session, run_id, before=before, to=RunStatus.CANCELLED, cause=cause, values=values
                        )
                    )
                    cancelled.append(run_id)
            write_audits(session, entries)
        return tuple(cancelled)

    def mark_callback(self, run_id: int, kind: str) -> bool:
        """Note that a callback of this kind is made for a run; True for the first to ask, once.

        Raises:
            NotFoundError: when there is no such run.
        """
        with self._write() as (session, now):
            lock_run(session, run_id)
            values = {"run_id": run_id, "kind": kind, "at": now}
            statement = insert_into(session, CallbackRow, values).on_conflict_do_nothing().returning(CallbackRow.kind)
            return session.scalar(statement) is not None


def _known(fields: RunFields) -> dict[str, Any]:
    unknown = fields.keys() - RunFields.__annotations__.keys()
    if unknown:
        raise TypeError(f"a run has no {', '.join(sorted(unknown))}; there are {', '.join(RunFields.__annotations__)}")
    return dict(fields)


def _refuse_open_attempt(session: Session, run_id: int, to: RunStatus) -> None:
    if to not in _CLAIMABLE_AGAIN:
        return
    token = session.scalar(select(AttemptRow.token).where(AttemptRow.run_id == run_id, attempt_is_open()))
    if token is not None:
        raise IllegalMoveError(
            f"run {run_id} can't become {to} while its attempt {token} is open: it would be executed twice; "
            "record the attempt's verdict, or its failed submission, first"
        )
