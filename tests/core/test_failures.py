"""Signatures that are stored, and what failed lately."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from neuroflow.core.state import StateManager
from neuroflow.domain import AttemptStatus, FailureClass, NodeFailure, RetryDecision, RunStatus, Verdict
from tests.core.conftest import FakeClock
from tests.support.states import FAILURE, GIVE_UP, SUCCESS, add_session, claim, open_run, submit

AGAIN = replace(GIVE_UP, status=RunStatus.RETRY_WAIT)
LOST = replace(FAILURE, failure=FailureClass.NODE, host="cn1")


def new_run(state: StateManager, subject: str, pipeline: str = "bids_conversion") -> int:
    return open_run(state, add_session(state, subject), pipeline).id


def end(
    state: StateManager,
    run_id: int,
    verdict: Verdict = FAILURE,
    *,
    decision: RetryDecision = AGAIN,
    signature: str = "",
) -> int:
    attempt = submit(state, run_id)
    failed = verdict is not SUCCESS
    assert state.record_verdict(attempt.id, verdict, decision if failed else None, None, signature=signature)
    return attempt.id


class TestSignatures:
    def test_a_failures_is_stored_with_attempt_and_run(self, state: StateManager) -> None:
        run_id = new_run(state, "01")
        attempt_id = end(state, run_id, signature="abc")
        assert (state.get_attempt(attempt_id).signature, state.get_run(run_id).signature) == ("abc", "abc")

    def test_the_runs_is_that_of_its_last_failure(self, state: StateManager) -> None:
        run_id = new_run(state, "01")
        end(state, run_id, signature="abc")
        end(state, run_id, replace(FAILURE, failure=FailureClass.PREEMPTED))
        assert state.get_run(run_id).signature == ""
        assert [attempt.signature for attempt in state.attempts_of(run_id)] == ["abc", ""]

    def test_a_completed_run_has_none(self, state: StateManager) -> None:
        run_id = new_run(state, "01")
        end(state, run_id, signature="abc")
        end(state, run_id, SUCCESS)
        assert state.get_run(run_id).signature == ""

    def test_a_submission_that_failed_for_good_has_one(self, state: StateManager) -> None:
        run_id = new_run(state, "01")
        attempt = claim(state, run_id)
        state.record_submission_failed(
            attempt.id, reason="no account", decision=GIVE_UP, failure=FailureClass.SITE, signature="abc"
        )
        assert (state.get_attempt(attempt.id).signature, state.get_run(run_id).signature) == ("abc", "abc")

    def test_a_submission_that_is_repeated_has_none(self, state: StateManager) -> None:
        run_id = new_run(state, "01")
        attempt = claim(state, run_id)
        state.record_submission_failed(attempt.id, reason="queue full", decision=AGAIN, failure=None)
        assert (state.get_attempt(attempt.id).signature, state.get_run(run_id).signature) == ("", "")


class TestOutcomes:
    def test_they_come_the_last_to_end_first(self, state: StateManager, clock: FakeClock) -> None:
        first, second, third = (new_run(state, subject) for subject in ("01", "02", "03"))
        late = submit(state, first)
        clock.advance(minutes=1)
        failed = end(state, second, signature="abc")
        clock.advance(minutes=1)
        succeeded = end(state, third, SUCCESS)
        clock.advance(minutes=1)
        state.record_verdict(late.id, FAILURE, GIVE_UP, None, signature="abc")
        found = state.latest_outcomes("bids_conversion", since=None, limit=9)
        assert [attempt.id for attempt in found] == [late.id, succeeded, failed]
        assert [attempt.id for attempt in state.latest_outcomes("bids_conversion", since=None, limit=2)] == [
            late.id,
            succeeded,
        ]

    def test_only_successes_and_signed_failures_of_the_pipeline_are_among_them(self, state: StateManager) -> None:
        run_id = new_run(state, "01")
        end(state, run_id, replace(FAILURE, failure=FailureClass.PREEMPTED))
        end(
            state,
            run_id,
            replace(FAILURE, failure=FailureClass.CANCELLED),
            decision=replace(GIVE_UP, status=RunStatus.CANCELLED),
        )
        end(state, new_run(state, "02", "qsirecon"), signature="abc")
        submit(state, new_run(state, "03"))
        success = end(state, new_run(state, "04"), SUCCESS)
        found = state.latest_outcomes("bids_conversion", since=None, limit=9)
        assert [(attempt.id, attempt.status) for attempt in found] == [(success, AttemptStatus.SUCCEEDED)]

    def test_those_that_ended_until_then_are_left_out(self, state: StateManager, clock: FakeClock) -> None:
        run_id = new_run(state, "01")
        end(state, run_id, signature="abc")
        released = clock.now
        assert state.latest_outcomes("bids_conversion", since=released, limit=9) == []
        clock.advance(seconds=1)
        later = end(state, run_id, signature="abc")
        found = state.latest_outcomes("bids_conversion", since=released, limit=9)
        assert [attempt.id for attempt in found] == [later]


class TestNodes:
    def test_failures_of_nodes_come_the_last_one_first(self, state: StateManager, clock: FakeClock) -> None:
        first, second = new_run(state, "01"), new_run(state, "02")
        since = clock.now
        end(state, first, LOST, signature="abc")
        clock.advance(minutes=1)
        end(state, second, replace(LOST, host="cn2"))
        assert state.node_failures("slurm", since=since) == [NodeFailure("cn2", second), NodeFailure("cn1", first)]

    @pytest.mark.parametrize(
        "verdict", [replace(LOST, host=""), replace(LOST, failure=FailureClass.APPLICATION), SUCCESS], ids=str
    )
    def test_nothing_else_is_among_them(self, state: StateManager, clock: FakeClock, verdict: Verdict) -> None:
        end(state, new_run(state, "01"), verdict)
        assert state.node_failures("slurm", since=clock.now) == []

    def test_they_are_of_one_cluster_and_of_late(self, state: StateManager, clock: FakeClock) -> None:
        end(state, new_run(state, "01"), LOST)
        assert state.node_failures("local", since=clock.now) == []
        assert state.node_failures("slurm", since=clock.now + timedelta(seconds=1)) == []
