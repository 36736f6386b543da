"""The newest attempts that tell what their runs need are read, and those that tell nothing are not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from neuroflow.core.state import StateManager
from neuroflow.domain import FailureClass, Level, RetryDecision, RunStatus, Verdict
from tests.core.conftest import FakeClock
from tests.support.states import FAILURE, GIVE_UP, RESOURCES, SUCCESS, add_session, open_run, submit


def end(state: StateManager, subject: str, verdict: Verdict, decision: RetryDecision | None = None) -> int:
    run = open_run(state, add_session(state, subject))
    attempt = submit(state, run.id)
    assert state.record_verdict(attempt.id, verdict, decision, None)
    return attempt.id


def measured(clock: FakeClock) -> Verdict:
    return replace(
        SUCCESS,
        started_at=clock.now - timedelta(minutes=9),
        ended_at=clock.now,
        max_rss_mb=512.0,
        cpu_seconds=700.0,
        elapsed_seconds=600.0,
    )


def test_what_was_measured_is_kept(state: StateManager, clock: FakeClock) -> None:
    attempt = state.get_attempt(end(state, "01", measured(clock)))
    assert (attempt.max_rss_mb, attempt.cpu_seconds, attempt.elapsed_seconds) == (512.0, 700.0, 600.0)
    (found,) = state.used_attempts("bids_conversion", level=Level.SESSION, limit=10)
    assert (found.run_id, found.failure, found.request) == (attempt.run_id, None, RESOURCES)
    assert (found.max_rss_mb, found.cpu_seconds, found.elapsed_seconds) == (512.0, 700.0, 600.0)
    assert (found.day, found.inputs_key) == ("2026-03-01", "k1")


def test_failures_but_for_want_of_memory_or_time_tell_nothing(state: StateManager, clock: FakeClock) -> None:
    end(state, "01", FAILURE, GIVE_UP)
    again = RetryDecision(RunStatus.RETRY_WAIT, "again", counted=True, next_attempt_at=clock.now)
    end(state, "02", replace(FAILURE, failure=FailureClass.OUT_OF_MEMORY), again)
    end(state, "03", replace(FAILURE, failure=FailureClass.TIMEOUT), GIVE_UP)
    submit(state, open_run(state, add_session(state, "04")).id)
    found = state.used_attempts("bids_conversion", level=Level.SESSION, limit=10)
    assert [one.failure for one in found] == [FailureClass.TIMEOUT, FailureClass.OUT_OF_MEMORY]


@pytest.mark.parametrize("memory", [None, 512.0])
def test_the_time_of_an_attempt_of_before_it_was_kept_is_that_between_start_and_end(
    state: StateManager, clock: FakeClock, memory: float | None
) -> None:
    """Where nothing was measured, the job may not have run the tool at all."""
    end(state, "01", replace(measured(clock), elapsed_seconds=None, max_rss_mb=memory))
    (found,) = state.used_attempts("bids_conversion", level=Level.SESSION, limit=10)
    assert found.elapsed_seconds == (540 if memory else None)


def test_the_newest_come_first_up_to_a_number_and_since_a_day(state: StateManager, clock: FakeClock) -> None:
    first = end(state, "01", measured(clock))
    clock.advance(days=1)
    second = end(state, "02", measured(clock))

    def runs(**options: object) -> list[int]:
        found = state.used_attempts("bids_conversion", level=Level.SESSION, **options)  # type: ignore[arg-type]
        return [one.run_id for one in found]

    newest, oldest = state.get_attempt(second).run_id, state.get_attempt(first).run_id
    assert runs(limit=10) == [newest, oldest]
    assert runs(limit=1) == [newest]
    assert runs(limit=10, since=clock.now - timedelta(hours=1)) == [newest]
    assert state.used_attempts("qsiprep", level=Level.SUBJECT, limit=10) == []
