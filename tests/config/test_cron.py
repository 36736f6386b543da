"""Cron strings: what Celery would misread or never run is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from celery.schedules import crontab

from neuroflow.config.cron import next_time, normalise_cron


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 2 */3 * *", "0 2 */3 * *"),
        ("  0   2 */3\t* *\n", "0 2 */3 * *"),
        ("*/5,7 1-5 * jan-MAR,12 *", "*/5,7 1-5 * jan-MAR,12 *"),
        ("0 0 29 2 *", "0 0 29 2 *"),
        ("0 0 31 2,3 *", "0 0 31 2,3 *"),
        ("30 6 * * mon-fri", "30 6 * * mon-fri"),
        ("0-30/10 * * * 0", "0-30/10 * * * 0"),
    ],
)
def test_good_strings_are_normalised_and_celery_takes_them(text: str, expected: str) -> None:
    assert normalise_cron(text) == expected
    crontab.from_string(expected)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@daily",
        "0 2 * *",
        "0 2 * * * *",
        "60 * * * *",
        "* 24 * * *",
        "0 0 0 * *",
        "0 0 * 13 *",
        "0 0 * * 7",
        "-5 * * * *",
        "5, * * * *",
        "5-1 * * * *",
        "*/0 * * * *",
        "5/10 * * * *",
        "*/x * * * *",
        "L * * * *",
        "0 0 1 * 1",
        "0 0 31 2 *",
        "0 0 31 4,6 *",
        "٣ * * * *",
        "9" * 10_000 + " * * * *",
        "1--2 * * * *",
    ],
)
def test_bad_strings_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"cron|is no|restricts|never run"):
        normalise_cron(text)


@pytest.mark.parametrize(
    "text", ["0 2 */3 * *", "*/15 * * * *", "30 6 * * mon-fri", "0 0 29 feb *", "5,50 8-10 1 1,7 *", "0 12 * * 0"]
)
@pytest.mark.parametrize("hours", [0, 7, 30, 24 * 31, 24 * 400])
def test_the_next_time_is_celerys(text: str, hours: int) -> None:
    now = datetime(2026, 2, 27, 23, 59, 30, tzinfo=UTC) + timedelta(hours=hours)
    schedule = crontab.from_string(text)
    schedule.nowfun = lambda: now
    assert next_time(text, now) == now + schedule.remaining_estimate(now)


def test_a_moment_that_is_due_itself_is_not_the_next_one() -> None:
    noon = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    assert next_time("0 12 * * *", noon) == noon + timedelta(days=1)
