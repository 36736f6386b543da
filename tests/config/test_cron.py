"""Cron strings: what Celery would misread or never run is refused."""

from __future__ import annotations

import pytest
from celery.schedules import crontab

from neuroflow.config.cron import normalise_cron


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
