"""Which moves a run, an attempt and a workflow run may make: the one table of each."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import TypeVar

from neuroflow.domain import AttemptStatus, RunStatus, WorkflowStatus
from neuroflow.errors import IllegalMoveError

S = TypeVar("S", bound=StrEnum)

_R = RunStatus
_A = AttemptStatus
_W = WorkflowStatus

RUN_MOVES: Mapping[RunStatus, frozenset[RunStatus]] = {
    _R.PENDING: frozenset({_R.QUEUED, _R.SUBMITTING, _R.CANCELLED, _R.FAILED}),
    _R.QUEUED: frozenset({_R.PENDING, _R.SUBMITTING, _R.CANCELLED, _R.FAILED}),
    _R.SUBMITTING: frozenset(
        {_R.SUBMITTED, _R.RUNNING, _R.PENDING, _R.RETRY_WAIT, _R.COMPLETED, _R.FAILED, _R.CANCELLED}
    ),
    _R.SUBMITTED: frozenset({_R.RUNNING, _R.COMPLETED, _R.FAILED, _R.RETRY_WAIT, _R.CANCELLED}),
    # Back to submitted: the site requeued the job.
    _R.RUNNING: frozenset({_R.COMPLETED, _R.FAILED, _R.RETRY_WAIT, _R.CANCELLED, _R.SUBMITTED}),
    _R.RETRY_WAIT: frozenset({_R.PENDING, _R.QUEUED, _R.SUBMITTING, _R.CANCELLED, _R.FAILED}),
    _R.COMPLETED: frozenset(),
    _R.FAILED: frozenset(),
    _R.CANCELLED: frozenset(),
}

ATTEMPT_MOVES: Mapping[AttemptStatus, frozenset[AttemptStatus]] = {
    # A short job may be seen running, or have ended, before its job id was stored.
    _A.SUBMITTING: frozenset({_A.SUBMITTED, _A.RUNNING, _A.SUCCEEDED, _A.FAILED, _A.CANCELLED}),
    _A.SUBMITTED: frozenset({_A.RUNNING, _A.SUCCEEDED, _A.FAILED, _A.CANCELLED}),
    _A.RUNNING: frozenset({_A.SUBMITTED, _A.SUCCEEDED, _A.FAILED, _A.CANCELLED}),
    _A.SUCCEEDED: frozenset(),
    _A.FAILED: frozenset(),
    _A.CANCELLED: frozenset(),
}

WORKFLOW_MOVES: Mapping[WorkflowStatus, frozenset[WorkflowStatus]] = {
    _W.RUNNING: frozenset({_W.COMPLETED, _W.FAILED, _W.CANCELLED}),
    _W.COMPLETED: frozenset(),
    _W.FAILED: frozenset(),
    _W.CANCELLED: frozenset(),
}

# `retry_wait` as well, but only when its time has come.
CLAIMABLE = frozenset({_R.PENDING, _R.QUEUED, _R.RETRY_WAIT})


def check_run_move(before: RunStatus, to: RunStatus, *, run_id: int) -> None:
    """Refuse a move of a run that the table does not list.

    Raises:
        IllegalMoveError: with the moves that are legal.
    """
    _check(RUN_MOVES, before, to, f"run {run_id}")


def check_attempt_move(before: AttemptStatus, to: AttemptStatus, *, attempt_id: int) -> None:
    """Refuse a move of an attempt that the table does not list.

    Raises:
        IllegalMoveError: with the moves that are legal.
    """
    _check(ATTEMPT_MOVES, before, to, f"attempt {attempt_id}")


def check_workflow_move(before: WorkflowStatus, to: WorkflowStatus, *, workflow_run_id: int) -> None:
    """Refuse a move of a workflow run that the table does not list.

    Raises:
        IllegalMoveError: with the moves that are legal.
    """
    _check(WORKFLOW_MOVES, before, to, f"workflow run {workflow_run_id}")


def _check(table: Mapping[S, Collection[S]], before: S, to: S, what: str) -> None:
    if to in table[before]:
        return
    if not table[before]:
        raise IllegalMoveError(f"{what} can't become {to}: it has ended as {before}, which is final")
    allowed = ", ".join(sorted(table[before]))
    raise IllegalMoveError(f"{what} can't become {to}: it is {before}, from where it may become {allowed}")
