"""A cell holds what it should, on one line, whatever it was given."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as some

from neuroflow.domain import AttemptStatus, FailureClass, RunStatus, SessionStatus
from neuroflow.export.columns import MISSING, Column, cell, dictionary, text
from neuroflow.export.run_tables import ATTEMPT_STATUSES, ATTEMPTS, FAILURES, RUN_STATUSES, RUNS
from neuroflow.export.session_table import SESSION_STATUSES, STANDINGS, session_columns
from neuroflow.orchestrator.standing import Kind

NOON = datetime(2026, 3, 1, 12, 0, 0, 900_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "n/a"),
        ("", "n/a"),
        ("  ", "n/a"),
        (True, "true"),
        (0, "0"),
        (-1.5, "-1.5"),
        (0.1, "0.1"),
        (NOON, "2026-03-01T12:00:00Z"),
        (NOON.astimezone(timezone(timedelta(hours=2))), "2026-03-01T12:00:00Z"),
        (RunStatus.RETRY_WAIT, "retry_wait"),
        ("two\tcells\nand a line\x1b[31m\u2028", r"two\tcells\nand a line\x1b[31m"),
        ('say "no"', '"say ""no"""'),
        ("=cmd|'/c calc'!A1", "'=cmd|'/c calc'!A1"),
        ("-oProxyCommand", "'-oProxyCommand"),
        ("\t@SUM(A1)", "'@SUM(A1)"),
        ("\uff1dcmd", "'\uff1dcmd"),
        ("a\u202eb\udce9", r"a\u202eb\udce9"),
        (float("nan"), "n/a"),
        (float("-inf"), "n/a"),
    ],
)
def test_a_value_becomes_one_cell(value: object, written: str) -> None:
    assert cell(value) == written  # type: ignore[arg-type]


@given(some.text(some.characters(exclude_categories=())))  # also what UTF-8 can't write
def test_any_text_is_one_cell_of_one_line(value: str) -> None:
    written = text(value)
    assert next(csv.reader([f"{written}\tnext\n"], delimiter="\t"))[1] == "next"
    assert written.isprintable() or not value.isprintable()
    assert len(f"{written}\tnext".splitlines()) == 1
    assert written.encode()


@given(some.text())
def test_a_text_without_control_characters_comes_back_as_it_was(value: str) -> None:
    if value.isprintable() and value.strip():
        read = next(csv.reader([f"{text(value)}\n"], delimiter="\t"))[0]
        assert read in (value.strip(), f"'{value.strip()}")


def test_every_word_that_a_column_may_hold_is_in_the_dictionary() -> None:
    assert RUN_STATUSES.keys() == set(RunStatus)
    assert ATTEMPT_STATUSES.keys() == set(AttemptStatus)
    assert FAILURES.keys() == set(FailureClass)
    assert SESSION_STATUSES.keys() == set(SessionStatus)
    assert STANDINGS.keys() == set(Kind) - {Kind.SETTLING}


@pytest.mark.parametrize("columns", [RUNS, ATTEMPTS, session_columns(["qsiprep"])])
def test_columns_are_in_snake_case_unique_and_described(columns: tuple[Column[object], ...]) -> None:
    names = [column.name for column in columns]
    assert names[:2] == ["participant_id", "session_id"]
    assert len(set(names)) == len(names)
    assert all(name == name.lower() and name.isidentifier() for name in names)
    assert all(entry["Description"] for entry in dictionary(columns).values())


def test_missing_is_what_bids_calls_it() -> None:
    assert MISSING == "n/a"
