"""What a person reads when something is wrong, new, or was interrupted."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from neuroflow.cli.demo_command import missing_packages
from neuroflow.cli.did_you_mean import similar_commands
from neuroflow.cli.main import cli
from neuroflow.cli.program import NeuroflowGroup, debug_first
from neuroflow.domain import RetryDecision, RunStatus
from tests.cli.test_commands import Installation
from tests.support.states import FAILURE, add_session, end_run, found, open_run, submit

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """An installation with an empty database."""
    installation = Installation(tmp_path)
    installation.make_database()
    return installation


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without a configuration in or above it, and a home without one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@click.group(cls=NeuroflowGroup)
@click.option("--debug", is_flag=True)
def broken(debug: bool) -> None: ...


@broken.command()
@click.argument("what")
def command(what: str) -> None:
    errors: dict[str, BaseException] = {
        "bug": ValueError("no such\n thing \x1b[2J"),
        "empty": RuntimeError(),
        "ctrl-c": KeyboardInterrupt(),
        "abort": click.Abort(),
        "full": OSError(errno.ENOSPC, "No space left on device"),
    }
    raise errors[what]


class TestWhatIsUnexpected:
    def test_a_mistake_of_ours_is_one_line_and_says_how_to_report_it(self) -> None:
        result = CliRunner().invoke(broken, ["command", "bug"])
        assert result.exit_code == 1
        assert result.stderr.splitlines() == [
            "error: unexpected ValueError: no such thing \\x1b[2J",
            "hint: this is a mistake in neuroflow: run it again with --debug, and report what that shows",
        ]
        assert CliRunner().invoke(broken, ["command", "empty"]).stderr.startswith("error: unexpected RuntimeError\n")

    @pytest.mark.parametrize("arguments", [["--debug", "command", "bug"], ["command", "bug", "--debug"]])
    def test_debug_shows_where_wherever_it_stands(self, arguments: list[str]) -> None:
        result = CliRunner().invoke(broken, arguments)
        assert "Traceback" in result.stderr
        assert result.stderr.splitlines()[-1].startswith("hint: this is a mistake in neuroflow: please report it")

    def test_a_full_disk_is_no_mistake_of_ours(self) -> None:
        result = CliRunner().invoke(broken, ["command", "full"])
        assert (result.exit_code, result.stderr) == (
            1,
            "error: the output can't be written: No space left on device\n",
        )

    def test_an_interruption_has_the_exit_code_of_one(self) -> None:
        result = CliRunner().invoke(broken, ["command", "ctrl-c"])
        assert (result.exit_code, result.stderr) == (130, "interrupted\n")
        assert CliRunner().invoke(broken, ["command", "abort"]).exit_code == 1

    def test_what_follows_two_dashes_is_left_alone(self) -> None:
        assert debug_first(["a", "--debug", "b", "--", "--debug"]) == ["--debug", "a", "b", "--", "--debug"]
        assert debug_first(["a", "--", "--debug"]) == ["a", "--", "--debug"]


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "error", "hint"),
        [
            ("sttus", "there is no command `neuroflow sttus`", "did you mean `neuroflow status`?"),
            ("run list", "there is no command `neuroflow run list`", "did you mean `neuroflow runs list`?"),
            ("squeue", "there is no command `neuroflow squeue`", "did you mean `neuroflow status`?"),
            ("xyzzy", "there is no command `neuroflow xyzzy`", "`neuroflow --help` lists what there is"),
            ("runs xyzzy", "there is no command `neuroflow runs xyzzy`", "`neuroflow runs --help` lists what there is"),
            ("runs list --lmit 3", "No such option '--lmit'", "see `neuroflow runs list --help`"),
            ("runs list --limit x", "'x' is not a valid integer", "see `neuroflow runs list --help`"),
            ("runs show", "Missing argument 'ID'", "the command is: neuroflow runs show [OPTIONS] ID; "),
            ("status --config x", "--config is an option of neuroflow itself", "neuroflow --config ... status"),
        ],
    )
    def test_a_wrong_command_line_is_an_error_and_a_hint(self, arguments: str, error: str, hint: str) -> None:
        said, hinted = run(*arguments.split(), code=2).stderr.splitlines()
        assert said.startswith("error: ")
        assert error in said
        assert hinted.startswith("hint: ")
        assert hint in hinted

    def test_a_group_alone_shows_its_help(self) -> None:
        assert "Commands:" in run("runs", code=2).stderr

    def test_the_right_word_in_the_wrong_place(self) -> None:
        assert similar_commands(["retry"], cli)[0] == "runs retry"
        assert similar_commands(["beat"], cli) == ["run beat"]
        assert similar_commands(["help"], cli) == ["--help"]
        assert similar_commands(["session", "shw"], cli) == ["session show"]


class TestFirstSteps:
    def test_without_a_configuration(self, nowhere: Path) -> None:
        shown = run().stdout
        assert "Commands:" in shown
        assert shown.splitlines()[-4:] == [
            "There is no configuration here yet. Next:",
            "  neuroflow init study    write one",
            "  neuroflow demo          or first see everything at work, on made-up data; with the demo's packages:",
            "                          pip install '.[demo]' in the checkout",
        ]
        said, hint = run("status", code=2).stderr.splitlines()
        assert said.startswith("error: there is no configuration: ")
        assert "`neuroflow init`" in hint

    def test_with_a_configuration_that_is_wrong(self, nowhere: Path) -> None:
        (nowhere / "neuroflow.yaml").write_text("pahts: {}\n")
        assert run().stdout.splitlines()[-1] == "Next: neuroflow config validate"

    def test_then_the_tables_then_a_scan_then_the_status(self, nowhere: Path) -> None:
        installation = Installation(nowhere)
        assert run().stdout.splitlines()[-1].endswith("Next: neuroflow db upgrade")
        installation.make_database()
        assert run().stdout.splitlines()[-1].endswith("Next: neuroflow scan")
        with installation.state() as state:
            end_run(state, open_run(state, add_session(state)).id, success=False)
        assert run().stdout.splitlines()[-2:] == [
            f"Configuration: {installation.config}",
            "runs: 0 completed, 0 at work, 1 failed; 1 session. Next: neuroflow status",
        ]

    def test_invalid_sessions_and_runs_that_wait_or_are_tried_again_are_told(self, nowhere: Path) -> None:
        installation = Installation(nowhere)
        installation.make_database()
        with installation.state() as state:
            open_run(state, add_session(state))
            retried = open_run(state, add_session(state, "02"))
            again = RetryDecision(RunStatus.RETRY_WAIT, "tried again", counted=True)
            assert state.record_verdict(submit(state, retried.id).id, FAILURE, again, None)
            state.record_scan([found("03", missing=("no dwi",))], settle_minutes=0)
        assert run().stdout.splitlines()[-1] == (
            "runs: 0 completed, 0 at work, 0 failed, 1 retrying, 1 waiting; "
            "3 sessions, 1 invalid (`neuroflow session list --status invalid`). Next: neuroflow status"
        )

    def test_a_file_that_is_no_database(self, nowhere: Path) -> None:
        Installation(nowhere)
        (nowhere / "state").mkdir()
        (nowhere / "state" / "neuroflow.db").write_bytes(b"no database" * 1000)
        assert run().stdout.splitlines()[-1].endswith("Next: neuroflow db upgrade")


@pytest.mark.slow
class TestInAProcess:
    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "neuroflow.cli.main", *arguments]

    def environment(self, **variables: str) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(CHECKOUT), **variables}

    @pytest.mark.parametrize("arguments", [["runs", "list"], ["runs", "list", "--json"], []])
    def test_a_reader_that_goes_away_is_no_error(self, arguments: list[str], installation: Installation) -> None:
        with installation.state() as state:
            for number in range(30):
                open_run(state, add_session(state, f"{number}", "a"))
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "wb") as stream:
            done = subprocess.run(
                self.command("--config", str(installation.config), *arguments),
                stdout=stream,
                stderr=subprocess.PIPE,
                env=self.environment(),
                check=False,
                timeout=60,
            )
        assert done.stderr == b""
        assert done.returncode in (0, 1)

    def test_no_locale_is_too_narrow(self, installation: Installation) -> None:
        with installation.state() as state:
            run = open_run(state, add_session(state))
            end_run(state, run.id, success=False)
        variables = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": ""}
        for arguments in (["status"], ["runs", "show", "1"], ["--help"], ["statüs"], ["runs", "--config"]):
            done = subprocess.run(
                self.command("--config", str(installation.config), *arguments),
                capture_output=True,
                env=self.environment(**variables),
                check=False,
                timeout=60,
            )
            assert done.returncode == (2 if arguments[-1] in ("statüs", "--config") else 0), done.stderr
            assert b"Error" not in done.stderr
            assert (done.stdout + done.stderr).isascii()

    def test_ctrl_c_ends_a_command_with_one_word(self, installation: Installation) -> None:
        with installation.state() as state:
            open_run(state, add_session(state))
        code = (
            "import signal, os\n"
            "from neuroflow.cli import main\n"
            "from neuroflow.core.state import StateManager\n"
            "StateManager.list_runs = lambda *_, **__: os.kill(os.getpid(), signal.SIGINT)\n"
            "main.main()"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, "--config", str(installation.config), "runs", "list"],
            capture_output=True,
            text=True,
            env=self.environment(),
            check=False,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (128 + signal.SIGINT, "interrupted\n")


def test_all_packages_that_the_demo_lacks_are_named_at_once() -> None:
    ours = ['no-such-b>=1,<2; extra == "demo"', "no-such-a; extra == 'demo'", "pytest>=8; extra == 'demo'"]
    assert missing_packages(["click>=8", *ours, "no-such-c; extra == 'dev'"]) == ["no-such-a", "no-such-b"]
