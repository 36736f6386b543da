"""The budget of SLURM calls that all processes share."""

from __future__ import annotations

import pytest

from neuroflow.core.state import StateManager
from tests.core.conftest import FakeClock


def spend(state: StateManager, calls: int) -> list[float]:
    return [state.take_call("slurm", per_minute=6) for _ in range(calls)]


def test_a_minutes_calls_may_be_made_at_once_and_no_more(state: StateManager) -> None:
    assert spend(state, 6) == [0.0] * 6
    assert spend(state, 1) == [pytest.approx(10.0)]


def test_the_bucket_fills_with_time_up_to_a_minutes_calls(state: StateManager, clock: FakeClock) -> None:
    spend(state, 6)
    clock.advance(seconds=10)
    assert spend(state, 2) == [0.0, pytest.approx(10.0)]
    clock.advance(hours=1)
    assert state.calls_left("slurm", per_minute=6) == 6
    assert spend(state, 7)[5:] == [0.0, pytest.approx(10.0)]


def test_a_refused_call_costs_nothing(state: StateManager, clock: FakeClock) -> None:
    spend(state, 20)
    clock.advance(seconds=10)
    assert spend(state, 1) == [0.0]


def test_a_clock_that_runs_back_takes_nothing_away(state: StateManager, clock: FakeClock) -> None:
    spend(state, 2)
    clock.advance(seconds=-30)
    assert state.calls_left("slurm", per_minute=6) == 4


def test_calls_are_counted_by_program(state: StateManager) -> None:
    state.record_call("squeue", seconds=2.0, failed=False)
    state.record_call("squeue", seconds=1.0, failed=True)
    state.record_call("sbatch", seconds=0.5, failed=False)

    sbatch, squeue = state.call_statistics()

    assert (sbatch.program, sbatch.calls) == ("sbatch", 1)
    assert (squeue.calls, squeue.failures, squeue.seconds, squeue.last_seconds) == (2, 1, 3.0, 1.0)
