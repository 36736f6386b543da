"""`neuroflow why` on a small installation: its words, its text, its data."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from neuroflow.cli.why_output import _wrapped
from neuroflow.views import why_answer
from tests.cli.test_commands import Installation
from tests.support.states import add_session, end_run, open_run

DOCS = Path(__file__).resolve().parents[2] / "docs" / "why.md"
VIEWS = Path(why_answer.__file__).parent


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Subject 01 with two sessions, whose conversion failed and waits, and a subject that is called 2."""
    installation = Installation(tmp_path_factory.mktemp("why"))
    installation.run("db", "upgrade")
    with installation.state() as state:
        end_run(state, open_run(state, add_session(state), key="dicom:f1").id, success=False)
        open_run(state, add_session(state, session="month1"), key="dicom:f1")
        add_session(state, "2")
    return installation


class TestWords:
    @pytest.mark.parametrize(
        "words",
        [
            ("sub-01", "ses-a", "bids_conversion"),
            ("01", "a", "bids_conversion"),
            ("bids_conversion", "01", "a"),
            ("sub-01/ses-a", "bids_conversion"),
            ("1",),  # a run: no subject is called so
            ("--run", "1"),
        ],
    )
    def test_all_of_these_ask_the_same(self, installation: Installation, words: tuple[str, ...]) -> None:
        (answer,) = installation.json("why", *words)["pipelines"]
        assert (answer["pipeline"], answer["scope"], answer["run"]) == ("bids_conversion", "sub-01/ses-a", 1)

    def test_a_subject_comes_before_a_run_of_that_number(self, installation: Installation) -> None:
        assert installation.json("why", "2")["subject"] == "sub-2"
        assert installation.json("why", "--run", "2")["session"] == "sub-01/ses-month1"

    def test_a_subject_shows_all_of_its_sessions(self, installation: Installation) -> None:
        scopes = {one["scope"] for one in installation.json("why", "01")["pipelines"]}
        assert scopes == {"sub-01", "sub-01/ses-a", "sub-01/ses-month1"}

    @pytest.mark.parametrize(
        ("words", "code", "told"),
        [
            ((), 2, "no subject is named"),
            (("sub-01", "sub-2"), 2, "'sub-2' is a second subject"),
            (("01", "a", "b"), 2, "'b' is a second session"),
            (("01", "--run", "1"), 2, "leave '01' out"),
            (("01", "--run", "0"), 2, "0 is not in the range"),
            (("sub-0 1",), 2, "'sub-0 1' is no subject"),
            (("02",), 3, "Did you mean '2'?"),
            (("001",), 3, "Did you mean '01'?"),
            (("01", "mont1"), 3, "its sessions are: a, month1"),
            (("01", "qsirecn"), 3, "Did you mean 'qsirecon'?"),
            (("01", "bids_conversions"), 3, "Did you mean 'bids_conversion'?"),
            (("--run", "99"), 3, "the first is 1, the newest 2; `neuroflow runs list` lists them"),
            (("99",), 3, "'99' is neither a subject nor a run\nhint: runs: the first is 1, the newest 2"),
            (("01", "a", "qsirecn"), 3, "Did you mean 'qsirecon'?"),
        ],
    )
    def test_what_is_not_there_or_can_not_be_asked(
        self, installation: Installation, words: tuple[str, ...], code: int, told: str
    ) -> None:
        assert told in installation.run("why", *words, code=code).stderr


class TestText:
    def test_each_place_has_its_paragraph(self, installation: Installation) -> None:
        text = installation.run("why", "01").stdout
        for part in (
            "bids_conversion of sub-01/ses-a (run 1): failed\n",
            "  class: application\n",
            "bids_conversion of sub-01/ses-month1 (run 2): pending\n",
            "  waits for bids_conversion of sub-01/ses-month1, which is not started (run 2)\n",
        ):
            assert part in text
        assert text.count("do: neuroflow runs retry 1") == 1, "one command brings on all behind it"
        assert "neuroflow has not looked at any job yet: nothing will happen until `neuroflow up` runs" in text

    def test_lines_are_folded_at_a_terminals_width_and_commands_are_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        text = "  failed at noon: " + "many words " * 20
        assert _wrapped(text) == [text]
        monkeypatch.setenv("COLUMNS", "60")
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        first, *others = _wrapped(text)
        assert first.startswith("  failed at noon: many")
        assert all(part.startswith("      ") for part in others)
        assert max(map(len, (first, *others))) <= 60
        assert len(_wrapped("     do: neuroflow " + "x " * 60)) == 1

    def test_what_others_wrote_never_steers_the_terminal(self, installation: Installation) -> None:
        with installation.state() as state:
            session = state.find_session("2", "a")
            assert session is not None
            state.set_session_excluded(session.id, True, reason="moved\x1b[2J\rmuch", actor="anna")
        text = installation.run("why", "2").stdout
        assert "moved\\x1b[2J" in text
        assert "\x1b" not in text
        assert "do: neuroflow session include 2 a" in text


class TestData:
    def test_every_field_is_documented(self, installation: Installation) -> None:
        report = installation.json("why", "01", "a")
        assert report["schema"] == 1
        text = DOCS.read_text()
        missing = {name for name in _names(report) if f"`{name}`" not in text and f"`{name}[]`" not in text}
        # Parts of a request, which other commands show as well.
        assert missing <= {"cpus", "memory_mb", "time_minutes", "gpus", "partition"}

    @pytest.mark.parametrize("record", ["Cause", "CrashFile", "SessionAnswer", "PlaceAnswer", "Life", "FailureAnswer"])
    def test_so_is_every_field_that_this_answer_lacks(self, record: str) -> None:
        text = DOCS.read_text()
        for field in fields(getattr(why_answer, record)):
            assert f"`{field.name}" in text

    def test_every_state_and_cause_is_documented(self) -> None:
        text = DOCS.read_text()
        code = "\n".join(path.read_text() for path in sorted(VIEWS.glob("why_*.py")))
        kinds = set(re.findall(r'Cause\(\s*"(\w+)"', code)) | {
            "partition",
            "maintenance",
            "settling",
            "excluded",
            "invalid",
        }
        states = set(re.findall(r'of_(?:run|place)\(\s*\w+,\s*"(\w+)"', code)) | {"waiting", "blocked", "nothing"}
        assert {"limit", "slurm", "upstream"} <= kinds
        assert {"failed", "due", "queued"} <= states
        assert [word for word in sorted(kinds | states) if f"`{word}`" not in text] == []


def _names(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {name for item in value.values() for name in _names(item)}
    if isinstance(value, list):
        return {name for item in value for name in _names(item)}
    return set()
