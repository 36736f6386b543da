"""Long lists lose no row in silence, and are the same however they are written."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from neuroflow.cli.lists import ON_A_TERMINAL, limit_for_people, write_json_rows
from neuroflow.cli.output import make_table, write_table
from neuroflow.errors import StateError
from tests.cli.test_commands import Installation
from tests.support.states import add_session, open_run


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_only_a_person_on_a_terminal_gets_less_than_all(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limit_for_people(None, as_json=False) is None
    monkeypatch.setattr("sys.stdout", Terminal())
    assert limit_for_people(None, as_json=False) == ON_A_TERMINAL
    assert limit_for_people(None, as_json=True) is None
    assert limit_for_people(7, as_json=False) == 7


@pytest.mark.parametrize("rows", [0, 1, 499, 500, 1001])
def test_json_is_whole_with_any_number_of_rows(rows: int, capsys: pytest.CaptureFixture[str]) -> None:
    write_json_rows("runs", ({"run": number, "at": Path("a\nb")} for number in range(rows)))
    expected = [{"run": number, "at": "a\nb"} for number in range(rows)]
    assert json.loads(capsys.readouterr().out) == {"schema": 1, "runs": expected}


def test_nothing_is_written_where_no_row_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> object:
        raise StateError("it is busy")

    with pytest.raises(StateError, match="busy"):
        write_json_rows("runs", (broken() for _ in range(1)))
    assert capsys.readouterr().out == ""


def test_a_table_in_a_pipe_is_that_of_a_terminal_without_colours(capsys: pytest.CaptureFixture[str]) -> None:
    columns, rows = (
        ("run", "scope", "reason"),
        [(1, "sub-01", None), (20, "\u65e5\u672c", "a\x1b[2Jb"), (3, "", "x" * 60)],
    )
    file = io.StringIO()
    Console(file=file, width=400, color_system=None).print(make_table(columns, rows))
    write_table(columns, rows, empty="none")
    assert capsys.readouterr().out == file.getvalue()


def test_what_a_limit_leaves_out_is_told_beside_the_list(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    installation.make_database()
    with installation.state() as state:
        for subject in ("01", "02"):
            open_run(state, add_session(state, subject))
    for arguments, said in (
        (("session", "list"), "the first 1 of 2 sessions; --limit 2 shows all"),
        (("subject", "list"), "the first 1 of 2 subjects; --limit 2 shows all"),
        (("runs", "list"), "the newest 1; --limit shows more"),
    ):
        assert said in installation.run(*arguments, "--limit", "1").stderr
        assert installation.run(*arguments, "--limit", "2").stderr == ""
    for rows, command in (("runs", ("runs", "list")), ("audit", ("logs", "audit"))):
        cut = installation.run(*command, "--limit", "1", "--json")
        assert len(json.loads(cut.stdout)[rows]) == 1
        assert "the newest 1; --limit shows more" in cut.stderr
        assert installation.run(*command, "--json").stderr == ""
    assert len(installation.json("session", "list")["sessions"]) == 2
