"""Tables at any width, colours only where they are wanted, and letters that any terminal can show."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).resolve().parents[2]
SCRIPT = r"""
import os, sys
from neuroflow.cli.output import make_console, never_fail_to_write, write_table
never_fail_to_write()
rows = [(12, "qsiprep", "sub-01/ses-a", "failed", "the tool ended with exit code 1 and said: no usable image")] * 2
if "runs" in sys.argv:
    columns = ("run", "pipeline", "scope", "status", "changed", "reason")
    rows = [(*rows[0][:4], "2026-01-01 12:00:00 UTC", rows[0][4])] * 2
    write_table(columns, rows, empty="none", shortened="reason", left_out=("changed",))
elif "table" in sys.argv:
    write_table(("run", "pipeline", "scope", "status", "reason"), rows, empty="none")
else:
    make_console().print("[red]done[/red] 3 \u2026 \u2588\u2588 \udcff \u00fc")
"""
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def on_a_terminal(argument: str, columns: int, **variables: str) -> str:
    """Run the script on a terminal of that width, and return what it wrote there."""
    master, slave = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(CHECKOUT), "TERM": "xterm-256color", **variables}
    with os.fdopen(slave, "wb") as stream:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, argument],
            stdout=stream,
            stderr=subprocess.PIPE,
            env={**environment, "COLUMNS": str(columns), "LINES": "50"},
            check=False,
            timeout=60,
        )
    assert done.stderr == b""
    written = b""
    try:
        while piece := os.read(master, 65536):
            written += piece
    except OSError:  # Linux: the other side is closed
        pass
    finally:
        os.close(master)
    return written.decode("utf-8", "replace").replace("\r\n", "\n")


class TestWidths:
    def test_a_wide_terminal_has_one_line_for_a_row(self) -> None:
        assert len(on_a_terminal("table", 120).splitlines()) == 3

    def test_the_longest_column_is_folded_and_the_others_stay_whole(self) -> None:
        lines = ESCAPE.sub("", on_a_terminal("table", 80)).splitlines()
        assert all(len(line) <= 80 for line in lines)
        assert [line for line in lines if line.startswith("12")] == [lines[1], lines[3]]
        assert all("sub-01/ses-a" in line and "failed" in line for line in lines if line.startswith("12"))

    def test_a_column_is_left_out_and_the_reason_is_cut_where_a_row_has_to_stay_in_its_line(self) -> None:
        lines = ESCAPE.sub("", on_a_terminal("runs", 80)).splitlines()
        assert len(lines) == 3
        assert all(len(line) <= 80 for line in lines)
        assert lines[1].rstrip().endswith("…")
        assert "2026" not in lines[1]
        assert "2026" in on_a_terminal("runs", 100)

    def test_a_narrow_one_has_lines_of_names_and_values(self) -> None:
        lines = ESCAPE.sub("", on_a_terminal("table", 40)).splitlines()
        assert lines[:2] == ["run:           12", "pipeline:      qsiprep"]
        assert lines[5] == ""


class TestColours:
    def test_a_terminal_has_them(self) -> None:
        assert ESCAPE.search(on_a_terminal("line", 80))

    @pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("CLICOLOR", "0"), ("TERM", "dumb")])
    def test_they_are_off_where_that_is_asked_for(self, name: str, value: str) -> None:
        assert not ESCAPE.search(on_a_terminal("line", 80, **{name: value}))

    @pytest.mark.parametrize(("variable", "wanted"), [("", False), ("FORCE_COLOR", True), ("CLICOLOR_FORCE", True)])
    def test_a_pipe_has_them_only_by_force(self, variable: str, wanted: bool) -> None:
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(CHECKOUT), "TERM": "xterm-256color"}
        written = subprocess.run(
            [sys.executable, "-c", SCRIPT, "line"],
            env={**environment, variable: "1"} if variable else environment,
            capture_output=True,
            check=True,
            timeout=60,
        )
        assert bool(ESCAPE.search(written.stdout.decode())) == wanted


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ({"LC_ALL": "C.UTF-8"}, "done 3 … ██ \\udcff ü"),
        ({"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, "done 3 ... ## \\udcff \\xfc"),
        ({"PYTHONIOENCODING": "latin-1"}, "done 3 ... ## \\udcff \ufffd"),
    ],
)
def test_what_an_encoding_lacks_is_written_in_plain_letters(variables: dict[str, str], text: str) -> None:
    assert ESCAPE.sub("", on_a_terminal("line", 80, **variables)) == text + "\n"
