"""`neuroflow logs` and `runs provenance` as people type them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from neuroflow.cli.log_entries import entry_text
from neuroflow.cli.log_text import LogWriter, cleaned
from neuroflow.cli.moments import since
from neuroflow.rotation import RotatedFile
from neuroflow.views.service_log import parse_line
from tests.cli.test_commands import (  # noqa: F401
    CONFIG,
    Installation,
    _restored_logging,
    bare,
    failed,
    installation,
)
from tests.support.states import RESOURCES, add_session, end_run, open_run

ESCAPE = "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J bell\x07 back\b"


def log_line(event: str, **values: Any) -> bytes:
    line = {"event": event, "level": "info", "service": "worker", "timestamp": datetime.now(UTC).isoformat(), **values}
    return json.dumps(line).encode() + b"\n"


def configured(folder: Path) -> Installation:
    """Return an installation whose services log to a file."""
    made = Installation(folder)
    content = yaml.safe_load(CONFIG)
    content["logging"] = {"file": str(folder / "all.log"), "format": "json"}
    made.config.write_text(yaml.safe_dump(content))
    return made


def write_lines(folder: Path) -> None:
    old = (datetime.now(UTC) - timedelta(days=3)).isoformat()
    (folder / "all.log.1").write_bytes(log_line("old.one", timestamp=old))
    (folder / "all.log").write_bytes(
        log_line("run.verdict", run_id=1, reason=f"bad {ESCAPE}", exception="Trace\nback")
        + log_line("tick", service="beat", level="warning", workflow_run_id=1)
    )


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Two cancelled runs, of which the second left crash files, a workflow run, and a log of the services."""
    made = configured(tmp_path_factory.mktemp("logged"))
    made.run("db", "upgrade")
    output = made.folder / "out-2"
    (output / "logs").mkdir(parents=True)
    (output / "logs" / "crash-1.txt").write_text("Node: x\nTraceback\n")
    (output / "logs" / "crash-2.pklz").write_bytes(b"\x00")
    container = {
        **{key: [] for key in ("program", "arguments", "binds", "owned", "outputs", "before", "runtime_args")},
        **dict.fromkeys(("pipeline", "runtime", "publish_dir"), "x"),
        **{"image": None, "version": None, "environment": {}, "bad_input_patterns": []},
        **{"output_dir": str(output), "work_dir": str(made.folder / "work"), "crash_globs": ["logs/crash-*"]},
    }
    with made.state() as state:
        for number, label in ((1, "a"), (2, "b")):
            folder = made.folder / f"attempt-{number}"
            folder.mkdir()
            run = open_run(state, add_session(state, "01", label))
            assert state.claim_run(
                run.id, token=f"t{number}", where="local", folder=str(folder), resources=RESOURCES, image=None, limit=2
            )
            state.cancel_run(run.id, reason="enough", actor="ada")
        state.start_workflow_run()
    (made.folder / "attempt-1" / "stdout.log").write_text("".join(f"line {number}\n" for number in range(5)))
    (made.folder / "attempt-1" / "stderr.log").write_text(f"{ESCAPE}\n")
    (made.folder / "attempt-2" / "stdout.log").touch()
    (made.folder / "attempt-2" / "container.json").write_text(json.dumps(container))
    write_lines(made.folder)
    return made


class TestRun:
    @pytest.mark.parametrize("way", [("1",), ("run", "1"), ("--attempt", "1", "1"), ("1", "--stdout")])
    def test_a_number_or_an_option_first_means_the_run(self, logged: Installation, way: tuple[str, ...]) -> None:
        assert logged.run("logs", *way).stdout.startswith("line 0\nline 1\n")

    def test_the_last_lines_and_both_streams(self, logged: Installation) -> None:
        assert logged.run("logs", "1", "--tail", "2").stdout == "line 3\nline 4\n"
        assert logged.run("logs", "1", "-f", "--tail", "1").stdout == "line 4\n"
        both = logged.run("logs", "1", "--both", "--tail", "1")
        assert both.stdout == f"line 4\n{ESCAPE}\n", "a pipe gets every byte"
        assert "==> stderr.log <==" in both.stderr

    def test_an_empty_log_is_said_to_be_so(self, logged: Installation) -> None:
        silent = logged.run("logs", "2")
        assert silent.stdout == ""
        assert "stdout.log: empty; `neuroflow logs run 2 --attempt 1 --both`" in silent.stderr
        assert "==> stdout.log (empty) <==" in logged.run("logs", "2", "--both").stderr

    @pytest.mark.parametrize(
        ("asked", "words"),
        [
            (("audt",), "Did you mean `neuroflow logs audit`?"),
            (("sub-01",), "Did you mean `neuroflow logs audit sub-01`?"),
            (("worker",), "Did you mean `neuroflow logs service worker`?"),
            (("12x",), "'12x' is not a valid integer"),
        ],
    )
    def test_a_wrong_name_is_helped(self, logged: Installation, asked: tuple[str, ...], words: str) -> None:
        assert words in logged.run("logs", *asked, code=2).stderr

    @pytest.mark.parametrize(
        "options", [("--follow", "--crash"), ("--json",), ("--into", "x"), ("--script", "--json")], ids=" ".join
    )
    def test_what_does_not_go_together_is_said(self, logged: Installation, options: tuple[str, ...]) -> None:
        assert "hint: " in logged.run("logs", "1", *options, code=2).stderr

    def test_files_are_listed_and_a_script_that_never_was_is_explained(self, logged: Installation) -> None:
        assert "standard error" in logged.run("logs", "1", "--list").stdout
        listed = logged.json("logs", "run", "1", "--list")
        assert listed["schema"] == 1
        assert [one["name"] for one in listed["files"]] == ["stderr.log", "stdout.log"]
        assert "ran as a process" in logged.run("logs", "1", "--script", code=3).stderr

    def test_crash_files_are_shown(self, logged: Installation) -> None:
        assert "left no crash file" in logged.run("logs", "1", "--crash", code=3).stderr
        shown = logged.run("logs", "2", "--crash", "--tail", "1").stdout
        assert "crash-1.txt" in shown
        assert "Traceback\n" in shown
        assert "Node: x" not in shown
        assert "(no text: not shown)" in shown
        assert len(logged.json("logs", "run", "2", "--crash")["crash_files"]) == 2


class TestService:
    def test_lines_are_shown_for_people_and_as_they_are(self, logged: Installation) -> None:
        shown = logged.run("logs", "service").stdout
        assert [word for word in ("old.one", "run.verdict", "tick") if word in shown] == [
            "old.one",
            "run.verdict",
            "tick",
        ]
        assert "\x1b" not in shown
        assert "\n    Trace\n    back\n" in shown
        raw = logged.run("logs", "service", "--json").stdout
        assert [json.loads(line)["event"] for line in raw.splitlines()] == ["old.one", "run.verdict", "tick"]

    @pytest.mark.parametrize(
        ("options", "event"),
        [
            (("beat",), "tick"),
            (("--level", "warning"), "tick"),
            (("--run", "1"), "run.verdict"),
            (("worker", "--since", "1d"), "run.verdict"),
            (("--tail", "1"), "tick"),
        ],
    )
    def test_lines_are_chosen(self, logged: Installation, options: tuple[str, ...], event: str) -> None:
        raw = logged.run("logs", "service", *options, "--json").stdout
        assert [json.loads(line)["event"] for line in raw.splitlines()] == [event]

    def test_a_workflow_run_has_its_lines_and_audit_rows(self, logged: Installation) -> None:
        assert "workflow_run.started" in logged.run("logs", "workflow", "1").stdout
        found = logged.json("logs", "workflow", "1")
        assert [row["event"] for row in found["audit"]] == ["workflow_run.started"]
        assert logged.run("logs", "workflow", "9", code=3)

    def test_without_a_file_the_key_to_set_is_named(self, installation: Installation) -> None:  # noqa: F811
        answer = installation.run("logs", "service", code=3).stderr
        assert "logging.file is not set" in answer
        assert "logging: {file:" in answer

    def test_a_file_in_which_nothing_stands_is_not_recommended(self, installation: Installation) -> None:  # noqa: F811
        folder = installation.folder / "state" / "logs"
        folder.mkdir(exist_ok=True)
        (folder / "demo.log").write_text("")
        assert "logging: {file:" in installation.run("logs", "service", code=3).stderr
        assert "nothing has been written to" in installation.run("logs", "service", "demo").stderr
        (folder / "demo.log").write_text("said\n")
        assert f"a file of {folder}: demo" in installation.run("logs", "service", code=3).stderr

    def test_following_goes_on_across_rotations_and_ends_quietly_at_ctrl_c(self, tmp_path: Path) -> None:
        lines = configured(tmp_path)
        write_lines(tmp_path)
        arguments = ["--config", str(lines.config), "logs", "service", "--follow", "--tail", "1", "--json"]
        command = [sys.executable, "-m", "neuroflow.cli.main", *arguments]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
            assert process.stdout is not None
            watchdog = threading.Timer(60, process.kill)
            watchdog.start()
            assert json.loads(process.stdout.readline())["event"] == "tick"
            writer = RotatedFile(lines.folder / "all.log", max_bytes=200, kept=20)
            for number in range(6):
                writer.write(log_line(f"e{number}"))
            seen = [json.loads(process.stdout.readline())["event"] for _ in range(6)]
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
            watchdog.cancel()
        assert seen == [f"e{number}" for number in range(6)]
        assert (out, err, process.returncode) == ("", "", 130)


class TestAudit:
    @pytest.mark.parametrize(
        "about",
        [("sub-01",), ("01", "ses-a"), ("--subject", "01"), ("--run", "1"), ("--actor", "ada"), ("--since", "1h")],
    )
    def test_it_is_found_by_what_it_is_about(self, logged: Installation, about: tuple[str, ...]) -> None:
        assert "ada  run 1  run.cancelled" in logged.run("logs", "audit", *about).stdout
        rows = logged.json("logs", "audit", *about)
        assert rows["schema"] == 1
        assert "run.cancelled" in [row["event"] for row in rows["audit"]]

    def test_what_fits_nothing_and_the_limit_are_said(self, logged: Installation) -> None:
        assert "nothing of that kind" in logged.run("logs", "audit", "--actor", "nobody").stdout
        answer = logged.run("logs", "audit", "--limit", "1")
        assert len(answer.stdout.splitlines()) == 1
        assert "--limit shows more" in answer.stderr

    @pytest.mark.parametrize(
        ("about", "code"),
        [(("--session", "a"), 2), (("--run", "1", "sub-01"), 2), (("sub-99",), 3), (("--since", "soon"), 2)],
    )
    def test_wrong_questions(self, logged: Installation, about: tuple[str, ...], code: int) -> None:
        logged.run("logs", "audit", *about, code=code)


class TestProvenance:
    def test_of_an_older_run_what_is_known_is_put_together_and_written(self, installation: Installation) -> None:  # noqa: F811
        with installation.state() as state:
            end_run(state, open_run(state, add_session(state)).id)
        shown = installation.run("runs", "provenance", "1")
        document = json.loads(shown.stdout)
        assert document["run"]["scope"] == "sub-01/ses-a"
        assert [one["status"] for one in document["attempts"]] == ["succeeded"]
        assert "its inputs can't be told any more" in shown.stderr
        file = installation.folder / "bids" / ".neuroflow/provenance/sub-01/ses-a/bids_conversion_run-1.json"
        assert str(file) in installation.run("runs", "provenance", "1", "--write").stdout
        assert json.loads(file.read_text()) == document
        assert f"from {file}" in installation.run("runs", "provenance", "1").stderr

    def test_a_run_without_results_has_none(self, failed: Installation) -> None:  # noqa: F811
        assert "only results have a provenance" in failed.run("runs", "provenance", "1", code=3).stderr

    def test_a_dataset_that_can_not_be_written_is_named(self, installation: Installation) -> None:  # noqa: F811
        with installation.state() as state:
            end_run(state, open_run(state, add_session(state)).id)
        (installation.folder / "bids" / ".neuroflow").write_text("a file in the way")
        assert "can't be written" in installation.run("runs", "provenance", "1", "--write", code=1).stderr


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (ESCAPE, "red   bell\\x07 back\\x08"),
        ("10%\r20%\r\ndone\n", "10%\n20%\ndone\n"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bP1;2q\x1b\\x\x1b(B\x1bcy\u2028", "xy\\u2028"),
        ("tab\té", "tab\té"),
    ],
)
def test_no_log_steers_a_terminal(text: str, shown: str) -> None:
    assert cleaned(text) == shown


def test_pieces_are_cleaned_as_the_whole(capsys: pytest.CaptureFixture[str]) -> None:
    text = f"é {ESCAPE}\nend".encode()
    writer = LogWriter(clean=True)
    for index in range(len(text)):
        writer.write(text[index : index + 1])
    writer.flush()
    assert capsys.readouterr().out == cleaned(text.decode())


def test_a_line_that_is_no_json_is_shown_as_it_is() -> None:
    assert entry_text(parse_line(b"plain \x1b[31mwords\x1b[0m")) == "plain words"


def test_moments() -> None:
    assert since("2026-03-01T12:30") == datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    assert timedelta(hours=1) < datetime.now(UTC) - since("1.5h") < timedelta(hours=2)
    with pytest.raises(click.BadParameter):
        since("yesterday")


def test_the_pages_name_every_key_of_the_schema() -> None:
    docs = Path(__file__).resolve().parents[2] / "docs"
    schema = json.loads((docs / "provenance.schema.json").read_text())
    page = (docs / "provenance.md").read_text()
    assert not [key for key in schema["properties"] if f"`{key}`" not in page]
