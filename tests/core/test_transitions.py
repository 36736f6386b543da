"""The tables of legal moves."""

from __future__ import annotations

import itertools

import pytest

from neuroflow.core.transitions import ATTEMPT_MOVES, CLAIMABLE, RUN_MOVES, WORKFLOW_MOVES, check_run_move
from neuroflow.domain import (
    ENDED_RUN_STATUSES,
    IN_FLIGHT_RUN_STATUSES,
    OPEN_ATTEMPT_STATUSES,
    AttemptStatus,
    RunStatus,
    WorkflowStatus,
)
from neuroflow.errors import IllegalMoveError


def test_every_status_has_a_row() -> None:
    assert set(RUN_MOVES) == set(RunStatus)
    assert set(ATTEMPT_MOVES) == set(AttemptStatus)
    assert set(WORKFLOW_MOVES) == set(WorkflowStatus)


def test_nothing_follows_an_end() -> None:
    assert {status for status, moves in RUN_MOVES.items() if not moves} == ENDED_RUN_STATUSES
    assert {status for status, moves in ATTEMPT_MOVES.items() if moves} == OPEN_ATTEMPT_STATUSES


def test_every_open_run_can_be_cancelled_and_can_fail() -> None:
    for status, moves in RUN_MOVES.items():
        if status not in ENDED_RUN_STATUSES:
            assert {RunStatus.CANCELLED, RunStatus.FAILED} <= moves, status


def test_only_a_run_in_flight_can_complete() -> None:
    assert {status for status, moves in RUN_MOVES.items() if RunStatus.COMPLETED in moves} == IN_FLIGHT_RUN_STATUSES


def test_only_waiting_runs_can_be_claimed() -> None:
    assert {status for status, moves in RUN_MOVES.items() if RunStatus.SUBMITTING in moves} == CLAIMABLE


@pytest.mark.parametrize(("before", "to"), [*itertools.product(RunStatus, RunStatus)])
def test_a_move_is_refused_unless_the_table_lists_it(before: RunStatus, to: RunStatus) -> None:
    if to in RUN_MOVES[before]:
        check_run_move(before, to, run_id=7)
    else:
        with pytest.raises(IllegalMoveError, match=f"run 7 can't become {to}: it (is|has ended as) {before}"):
            check_run_move(before, to, run_id=7)
