"""Lists of subjects and sessions, as people have them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
import pytest

from neuroflow.cli.moments import moment_of
from neuroflow.cli.selection_file import Line, parse_list

NOW = datetime(2026, 3, 8, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "sub-01 ses-a\n02\n",
        "# mine\n\nsub-01/ses-a\r\nsub-02\r\n",
        "01\ta\n\n\n02",
        "\ufeffsub-01  ses-a \n  sub-02\n",
    ],
)
def test_lines_name_a_session_or_a_whole_subject(text: str) -> None:
    parsed = parse_list(text)
    assert [(line.subject, line.session) for line in parsed.lines] == [("01", "a"), ("02", None)]
    assert parsed.problems == ()


def test_a_table_is_known_by_its_columns() -> None:
    parsed = parse_list("session_id\tage\tparticipant_id\nses-a\t33\tsub-01\n\nses-b\t34\tsub-01\n")
    assert parsed.lines == (Line(2, "01", "a"), Line(4, "01", "b"))
    assert parse_list("participant_id\tsex\nsub-01\tF\n").lines == (Line(2, "01", None),)


def test_every_line_that_names_nothing_is_told_with_its_number() -> None:
    parsed = parse_list("sub-01\nsub-01 ses-a c\nsub-../x\n$(rm) ses-a\n")
    assert parsed.lines == (Line(1, "01", None),)
    assert [problem.number for problem in parsed.problems] == [2, 3, 4]
    assert "'sub-../x' is no label" in parsed.problems[1].text


@pytest.mark.parametrize(
    ("text", "number", "words"),
    [
        ("participant_id\tsession_id\nsub-01\tn/a\n", 2, "session_id is 'n/a'"),
        ("participant_id\tsession_id\nsub-01\n", 2, "it has 1 cells, and the table 2 columns"),
        ("participant_id,session_id\nsub-01,ses-a\n", 1, "the table has no column participant_id; its columns"),
        ("session_id\nses-a\n", 1, "the table has no column participant_id"),
    ],
)
def test_a_table_that_is_none_of_bids_is_told(text: str, number: int, words: str) -> None:
    (problem,) = parse_list(text).problems
    assert problem.number == number
    assert words in problem.text


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T14:00+02:00", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("90m", NOW - timedelta(minutes=90)),
        ("7d", NOW - timedelta(days=7)),
    ],
)
def test_a_moment_is_a_date_or_an_age(text: str, moment: datetime) -> None:
    assert moment_of(text, now=NOW) == moment


@pytest.mark.parametrize("text", ["yesterday", "7 days", "-3d", "2026-13-01", ""])
def test_what_is_no_moment_is_refused_with_what_would_be(text: str) -> None:
    with pytest.raises(click.BadParameter, match="or when"):
        moment_of(text, now=NOW)
