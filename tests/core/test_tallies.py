"""What became of all attempts is counted once each, whatever is kept between two looks."""

from __future__ import annotations

import pytest

from neuroflow.core import tallies as module
from neuroflow.core.state import SeenAttempt, StateManager
from neuroflow.domain.tallies import AttemptTallies
from tests.core.conftest import FakeClock
from tests.support.states import FAILURE, GIVE_UP, SUCCESS, add_session, open_run, submit


def shown(tallies: AttemptTallies) -> tuple[object, ...]:
    """Return tallies as a test can compare them."""
    return (
        dict(tallies.ended),
        {name: (item.counts, item.total) for name, item in tallies.waits.items()},
        {name: (item.counts, item.total) for name, item in tallies.times.items()},
    )


def begin(state: StateManager, number: int, clock: FakeClock) -> int:
    """Submit an attempt of a session of its own, and see it run after ten minutes; return its id."""
    attempt = submit(state, open_run(state, add_session(state, f"{number:03}", "a")).id, job_id=str(number))
    clock.advance(minutes=10)
    state.record_sightings([SeenAttempt(attempt.id, word="RUNNING", reason="", running=True, seen=True)])
    return attempt.id


def end(state: StateManager, attempt_id: int, clock: FakeClock, *, success: bool = True) -> None:
    clock.advance(hours=2)
    assert state.record_verdict(attempt_id, SUCCESS if success else FAILURE, None if success else GIVE_UP, None)


def test_nothing_has_ended_at_first(state: StateManager, clock: FakeClock) -> None:
    begin(state, 1, clock)
    assert shown(state.attempt_tallies()) == ({}, {}, {})


def test_outcomes_waits_and_times_are_counted(state: StateManager, clock: FakeClock) -> None:
    end(state, begin(state, 1, clock), clock)
    end(state, begin(state, 2, clock), clock, success=False)
    ended, waits, times = shown(state.attempt_tallies())
    assert ended == {
        ("bids_conversion", "succeeded", ""): 1,
        ("bids_conversion", "failed", "application"): 1,
    }
    assert waits == {"bids_conversion": ([0, 0, 2, 0, 0, 0, 0, 0, 0, 0], 1200.0)}
    assert times == {"bids_conversion": ([0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0], 14400.0)}


@pytest.mark.parametrize("late_rows", [0, 2, 1000])
def test_what_is_kept_changes_no_sum(
    late_rows: int, state: StateManager, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LATE_ROWS", late_rows)
    monkeypatch.setattr(module, "_KEEP_EVERY", 1)
    slow = [begin(state, number, clock) for number in range(3)]  # they end after later ones were counted
    for number in range(3, 9):
        end(state, begin(state, number, clock), clock, success=number % 3 > 0)
        state.attempt_tallies()
        if number == 6:
            end(state, slow.pop(), clock)
    for attempt_id in slow:
        end(state, attempt_id, clock, success=False)
    kept = state.attempt_tallies()
    assert sum(kept.ended.values()) == 9
    assert shown(state.attempt_tallies()) == shown(kept)
    assert (state.get_value(module.TALLIES_KEY) is not None) == (late_rows < 1000)

    state.set_value(module.TALLIES_KEY, {"version": -1})  # of another release
    assert shown(state.attempt_tallies()) == shown(kept)


def test_runs_sessions_and_dead_letters_are_counted(state: StateManager, clock: FakeClock) -> None:
    end(state, begin(state, 1, clock), clock)
    end(state, begin(state, 2, clock), clock, success=False)
    begin(state, 3, clock)
    counts = state.state_counts()
    assert counts.runs == {
        ("bids_conversion", "completed"): 1,
        ("bids_conversion", "failed"): 1,
        ("bids_conversion", "running"): 1,
    }
    assert counts.sessions == {"ready": 3}
    assert counts.dead_letters == {"bids_conversion": 1}


def test_calls_fall_into_buckets(state: StateManager) -> None:
    for seconds in (0.05, 0.06, 0.07, 5.0, 500.0):
        state.record_call("squeue", seconds=seconds, failed=False)
    assert state.call_buckets() == {"squeue": {0.05: 1, 0.1: 2, 5.0: 1}}
    (total,) = state.call_statistics()
    assert total.calls == 5
