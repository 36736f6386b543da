"""Runs that are claimed together: the elements of a job array."""

from __future__ import annotations

import pytest

from neuroflow.core.state import NewAttempt, StateManager
from neuroflow.domain import AttemptStatus, RunRecord, RunStatus
from tests.support.states import RESOURCES, add_session, claim, open_run

ARRAY = "nf-array-bids_conversion-1"


@pytest.fixture
def runs(state: StateManager) -> list[RunRecord]:
    """Four waiting runs of one pipeline."""
    return [open_run(state, add_session(state, session=label)) for label in "abcd"]


def news(runs: list[RunRecord]) -> list[NewAttempt]:
    return [NewAttempt(run.id, f"t-{run.id}", "slurm", f"/a/t-{run.id}", RESOURCES, None, ARRAY) for run in runs]


def test_all_of_them_become_elements_in_the_order_of_their_ids(state: StateManager, runs: list[RunRecord]) -> None:
    attempts = state.claim_runs(news(runs)[::-1], limit=9)

    assert [attempt.run_id for attempt in attempts] == [run.id for run in runs]
    assert [attempt.array_index for attempt in attempts] == [0, 1, 2, 3]
    assert {(attempt.array_token, attempt.job_name) for attempt in attempts} == {(ARRAY, ARRAY)}


def test_a_run_that_another_has_taken_leaves_no_gap(state: StateManager, runs: list[RunRecord]) -> None:
    single = claim(state, runs[1].id)

    attempts = state.claim_runs(news(runs), limit=9)

    assert [(item.run_id, item.array_index) for item in attempts] == [
        (runs[0].id, 0),
        (runs[2].id, 1),
        (runs[3].id, 2),
    ]
    assert (single.array_token, single.array_index, single.job_name) == (None, None, single.token)


def test_the_limit_is_kept_inside_an_array(state: StateManager, runs: list[RunRecord]) -> None:
    assert len(state.claim_runs(news(runs), limit=3)) == 3
    assert state.get_run(runs[3].id).status is RunStatus.PENDING


def test_their_job_ids_are_stored_together(state: StateManager, runs: list[RunRecord]) -> None:
    attempts = state.claim_runs(news(runs), limit=9)
    state.cancel_run(runs[0].id, reason="wrong", actor="ada")

    assert state.record_all_submitted({item.id: f"605_{item.array_index}" for item in attempts}) == 4

    now = state.open_attempts()
    assert [(item.job_id, item.status) for item in now] == [
        (f"605_{index}", AttemptStatus.SUBMITTED) for index in range(4)
    ]
    assert state.get_run(runs[0].id).status is RunStatus.CANCELLED, "its job exists all the same, and is known"
    assert {state.get_run(run.id).status for run in runs[1:]} == {RunStatus.SUBMITTED}


def test_runs_are_queued_together_and_others_left_alone(state: StateManager, runs: list[RunRecord]) -> None:
    claim(state, runs[0].id)

    assert state.queue_runs([run.id for run in runs], reason="queued on bids") == 3

    assert [state.get_run(run.id).status for run in runs] == [RunStatus.SUBMITTING, *[RunStatus.QUEUED] * 3]
