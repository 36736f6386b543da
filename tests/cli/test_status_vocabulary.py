"""Words of both vocabularies are taken wherever a status is asked for, and a mistyped one gets the nearest."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

import click
import pytest

from neuroflow.cli.status_vocabulary import member, run_statuses, standing
from neuroflow.domain import AttemptStatus, FailureClass, RunStatus, SessionStatus
from neuroflow.domain.overview import CellWord, Standing

DOCS = Path(__file__).parents[2] / "docs" / "status.md"


class TestRunStatuses:
    def test_every_status_means_itself(self) -> None:
        assert [run_statuses(str(status)) for status in RunStatus] == [(status,) for status in RunStatus]

    @pytest.mark.parametrize(
        ("word", "meant"),
        [
            ("done", (RunStatus.COMPLETED,)),
            ("Retrying", (RunStatus.RETRY_WAIT,)),
            ("waiting", (RunStatus.PENDING, RunStatus.QUEUED)),
            ("queued", (RunStatus.QUEUED,)),
        ],
    )
    def test_words_of_the_status_command_are_taken_too(self, word: str, meant: tuple[RunStatus, ...]) -> None:
        assert run_statuses(word) == meant

    @pytest.mark.parametrize("word", ["again", "closed", *CellWord])
    def test_a_word_that_no_runs_status_says_names_the_command_that_lists_it(self, word: str) -> None:
        with pytest.raises(click.BadParameter, match=f"`neuroflow status --status {word}`"):
            run_statuses(word)

    @pytest.mark.parametrize(("word", "near"), [("complete", "completed"), ("retryng", "retrying")])
    def test_an_unknown_word_gets_the_nearest_of_both(self, word: str, near: str) -> None:
        with pytest.raises(click.BadParameter, match=f"Did you mean '{near}'"):
            run_statuses(word)


class TestStanding:
    def test_both_vocabularies_are_taken(self) -> None:
        for word in (*Standing, *CellWord):
            assert standing(str(word)) is word
        assert standing("completed") is Standing.DONE
        assert standing("submitted") is Standing.QUEUED
        assert standing("PENDING") is Standing.WAITING


class TestMember:
    def test_attempts_that_succeeded_may_be_called_done(self) -> None:
        assert member("done", AttemptStatus) is AttemptStatus.SUCCEEDED
        assert member("succeeded", AttemptStatus) is AttemptStatus.SUCCEEDED

    @pytest.mark.parametrize(
        ("word", "enum", "near"), [("redy", SessionStatus, "ready"), ("tmeout", FailureClass, "timeout")]
    )
    def test_other_words_get_the_nearest(self, word: str, enum: type[StrEnum], near: str) -> None:
        with pytest.raises(click.BadParameter, match=f"is none of: .* Did you mean '{near}'"):
            member(word, enum)


def test_the_documented_table_is_what_the_filters_do() -> None:
    lines = DOCS.read_text().partition("## Two vocabularies")[2].partition("\n## ")[0]
    table = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", lines, flags=re.MULTILINE))
    for word in Standing:
        if word in ("again", "closed", "queued"):
            continue
        assert tuple(re.findall(r"`(\w+)`", table[word])) == tuple(map(str, run_statuses(str(word))))
    assert {"again", "closed", "queued", *CellWord} <= set(table)
