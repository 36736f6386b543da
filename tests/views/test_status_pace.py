"""How long the rest takes: only what history says, as a range, or unknown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from neuroflow.domain import RunStatus
from neuroflow.domain.overview import HourCount
from neuroflow.views.status_pace import TimeLeft, Work, pace_of, time_left, together

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)


def hours_ago(*counts: tuple[float, int]) -> list[tuple[datetime, int]]:
    return [(NOW - timedelta(hours=hours), count) for hours, count in counts]


def test_without_history_nothing_is_made_up() -> None:
    assert time_left([], None, Work(10, 4), now=NOW).because.startswith("unknown: no history")
    few = time_left(hours_ago((1, 4)), 1.0, Work(10, 4), now=NOW)
    assert (few.low_hours, few.high_hours) == (None, None)


def test_a_steady_pace_gives_one_number() -> None:
    steady = hours_ago(*((hour, 2) for hour in range(1, 337)))
    left = time_left(steady, 0.5, Work(240, 4), now=NOW)
    assert left.low_hours == pytest.approx(120, rel=0.1)
    assert left.high_hours == pytest.approx(120, rel=0.1)


def test_a_pace_that_changed_gives_a_range() -> None:
    slow_then_fast = hours_ago(*((hour, 1) for hour in range(25, 337)), *((hour, 10) for hour in range(1, 25)))
    left = time_left(slow_then_fast, 0.1, Work(100, 4), now=NOW)
    assert left.low_hours == pytest.approx(10, rel=0.2)
    assert left.high_hours is not None
    assert left.high_hours > 50


def test_it_is_never_faster_than_the_limit_allows() -> None:
    burst = hours_ago((1, 600))
    left = time_left(burst, 3.0, Work(100, 2), now=NOW)
    assert left.low_hours == left.high_hours == 150
    assert "at most 2 at once of 3.0 h each" in left.because


def test_runs_of_seconds_are_told_in_seconds() -> None:
    left = time_left(hours_ago((1, 50)), 9 / 3600, Work(10, 2), now=NOW)
    assert "at most 2 at once of 9 s each" in left.because


def test_a_site_that_began_today_is_not_divided_by_a_week() -> None:
    left = time_left(hours_ago((2, 10), (1, 10)), None, Work(100, 50), now=NOW)
    assert left.high_hours == pytest.approx(10)


def test_a_pace_of_the_past_is_none_of_the_present() -> None:
    left = time_left(hours_ago((100, 50)), 1.0, Work(10, 4), now=NOW)
    assert left.because == "unknown: nothing has completed since 2026-03-11"


def test_a_held_pipeline_takes_as_long_as_its_hold() -> None:
    assert time_left(hours_ago((1, 50)), 1.0, Work(10, 4, held=True), now=NOW).because.endswith("is held")


def test_all_pipelines_take_as_long_as_the_slowest_and_nobody_knows_where_one_is_unknown() -> None:
    fast, slow = TimeLeft(1.0, 2.0, "a"), TimeLeft(3.0, 9.0, "b")
    assert together([("x", fast), ("y", slow)]) == TimeLeft(
        3.0, 9.0, "y takes longest; the pipelines work side by side"
    )
    unknown = TimeLeft(None, None, "unknown: no history")
    found = together([("x", fast), ("y", unknown)])
    assert found is not None
    assert (found.low_hours, found.because) == (None, "unknown: no history (y)")
    assert together([]) is None


def test_what_completed_and_what_failed_is_told_apart() -> None:
    hours = [
        HourCount("qsiprep", RunStatus.COMPLETED, NOW - timedelta(hours=2), 6),
        HourCount("qsiprep", RunStatus.COMPLETED, NOW - timedelta(days=3), 4),
        HourCount("qsiprep", RunStatus.COMPLETED, NOW - timedelta(days=10), 3),
        HourCount("qsiprep", RunStatus.FAILED, NOW - timedelta(hours=2), 5),
    ]
    pace = pace_of(hours, [timedelta(hours=1), timedelta(hours=3)], Work(0, 1), now=NOW)
    assert (pace.completed_24h, pace.completed_7d, pace.completed_14d, pace.failed_7d) == (6, 10, 13, 5)
    assert pace.median_hours == 2.0
    assert pace.left is None
