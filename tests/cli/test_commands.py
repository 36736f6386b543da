"""Every command, on a small installation with an SQLite database."""

from __future__ import annotations

import json
import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import update

from neuroflow.cli.main import cli
from neuroflow.cli.output import escaped, plain_data
from neuroflow.cli.up_services import FRUGAL
from neuroflow.cli.worker_commands import beat_arguments, worker_arguments
from neuroflow.config import NeuroflowConfig
from neuroflow.core.database import Database
from neuroflow.core.state import StateManager
from neuroflow.domain import Resources, RunStatus, SessionStatus
from neuroflow.models import AttemptRow
from neuroflow.orchestrator.lease import lease
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.steps import InlineDispatcher, advance
from tests.discovery.dicom_files import write_series
from tests.support.databases import make_schema
from tests.support.states import RESOURCES, add_session, end_run, open_run

CONFIG = """\
paths:
  dicom_root: dicom
  bids_root: bids
  derivatives_root: derivatives
  work_root: work
  state_dir: state
discovery:
  settle_minutes: 0
protocol:
  required_scans: []
cluster:
  kind: local
workflow:
  retry:
    max_attempts: 1
containers:
  runtime: host
"""


class Installation:
    """A configuration and its database, and the command line on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "neuroflow.yaml"
        (folder / "dicom").mkdir()
        self.config.write_text(CONFIG)

    @classmethod
    def at(cls, folder: Path) -> Installation:
        """Return the installation whose configuration is there."""
        made = cls.__new__(cls)
        made.folder, made.config = folder, folder / "neuroflow.yaml"
        return made

    def run(self, *arguments: str, code: int = 0) -> Result:
        """Run a command line that must end with `code`."""
        result = CliRunner().invoke(cli, ["--config", str(self.config), *arguments])
        assert result.exit_code == code, (result.output, result.exception)
        return result

    def json(self, *arguments: str) -> Any:
        """Run a command line with --json and return what it wrote."""
        return json.loads(self.run(*arguments, "--json").stdout)

    def make_database(self) -> None:
        """Make an empty database with the present schema."""
        database = Database.from_config(NeuroflowConfig.find_and_load(self.config, check_files=False))
        make_schema(database)
        database.close()

    @contextmanager
    def services(self) -> Iterator[Services]:
        """Return the services on the same database."""
        services = Services.from_config(NeuroflowConfig.find_and_load(self.config))
        try:
            yield services
        finally:
            services.database.close()

    @contextmanager
    def state(self) -> Iterator[StateManager]:
        """Return the state of the same database."""
        with self.services() as services:
            yield services.state


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def bare(tmp_path: Path) -> Installation:
    """An installation whose database was not made yet."""
    return Installation(tmp_path)


@pytest.fixture
def installation(bare: Installation) -> Installation:
    """An installation with an empty database."""
    bare.make_database()
    return bare


@pytest.fixture
def failed(installation: Installation) -> Installation:
    """One session, whose conversion (run 1) has failed."""
    with installation.state() as state:
        end_run(state, open_run(state, add_session(state)).id, success=False)
    return installation


@pytest.fixture
def pending(installation: Installation) -> Installation:
    """One session, whose conversion (run 1) waits to be started."""
    with installation.state() as state:
        open_run(state, add_session(state))
    return installation


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Return every command below a group, with its path."""
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


@pytest.mark.parametrize("path", [path for path, _ in commands(cli)], ids=" ".join)
def test_every_command_has_help(path: Sequence[str]) -> None:
    result = CliRunner().invoke(cli, [*path, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output


@pytest.mark.parametrize(("path", "command"), list(commands(cli)), ids=lambda value: str(value))
def test_every_command_says_what_it_does(path: Sequence[str], command: click.Command) -> None:
    assert command.help


@pytest.mark.parametrize("name", list(cli.commands))
def test_top_level_commands_show_an_example(name: str) -> None:
    assert "neuroflow " in (cli.commands[name].epilog or "")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from neuroflow.cli.main import cli; "
        "print([name for name in ('sqlalchemy', 'celery', 'pydantic', 'rich', 'pydicom') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert answer.stdout.strip() == "[]"


def test_version_is_shown() -> None:
    assert CliRunner().invoke(cli, ["--version"]).output.startswith("neuroflow ")


class TestErrors:
    def test_an_error_is_one_line_and_a_hint_with_the_exit_code_of_its_class(self, bare: Installation) -> None:
        result = bare.run("status", code=4)
        assert result.stderr.startswith("error: the database ")
        assert "hint: run `neuroflow db upgrade`" in result.stderr
        assert "Traceback" not in result.stderr

    def test_debug_shows_where_it_came_from(self, bare: Installation) -> None:
        result = CliRunner().invoke(cli, ["--debug", "--config", str(bare.config), "status"])
        assert result.exit_code == 4
        assert "Traceback" in result.stderr

    def test_a_configuration_that_is_not_there(self, tmp_path: Path) -> None:
        result = CliRunner().invoke(cli, ["--config", str(tmp_path / "none.yaml"), "status"])
        assert result.exit_code == 2
        assert "none.yaml" in result.stderr

    @pytest.mark.parametrize(
        ("arguments", "code", "text"),
        [
            (("runs", "show", "99"), 3, "99"),
            (("runs", "cancel", "99"), 3, "99"),
            (("runs", "retry", "99"), 3, "99"),
            (("logs", "99"), 3, "99"),
            (("pipeline", "show", "qsipreb"), 3, "Did you mean 'qsiprep'"),
            (("pipeline", "pause", "none"), 3, "there is no pipeline"),
            (("pipeline", "resume", "none"), 3, "there is no pipeline"),
            (("pipeline", "render", "99"), 3, "99"),
            (("runs", "list", "--pipeline", "none"), 3, "there is no pipeline"),
            (("runs", "list", "--status", "complete"), 2, "Did you mean 'completed'?"),
            (("session", "show", "01", "a"), 3, "there is no subject '01'"),
            (("session", "rerun", "01", "a"), 3, "there is no subject '01'"),
            (("session", "list", "--subject", "sub-../x"), 2, "is no label"),
            (("session", "list", "--status", "done"), 2, "is none of: settling, "),
            (("subject", "show", "sub-07"), 3, "there is no subject '07'"),
            (("workflow", "status", "7"), 3, "there is no workflow run 7"),
            (("workflow", "status"), 3, "no workflow run yet"),
            (("workflow", "cancel", "7"), 3, "there is no workflow run 7"),
            (("workflow", "run", "--sync", "--stage", "qsi"), 3, "there is no pipeline 'qsi'"),
            (("run", "worker", "--queues", "bids,heavy"), 2, "no queue 'heavy'"),
            (("run", "worker", "--queues", ","), 2, "there are: workflow"),
            (("run", "worker", "--concurrency", "0"), 2, "--concurrency"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
    )
    def test_wrong_input_is_named(
        self, installation: Installation, arguments: Sequence[str], code: int, text: str
    ) -> None:
        assert text in installation.run(*arguments, code=code).stderr

    def test_an_unknown_session_of_a_known_subject_names_those_that_exist(self, pending: Installation) -> None:
        assert "has no session 'b'; there are: a" in pending.run("session", "show", "01", "b", code=3).stderr


class TestDatabase:
    def test_upgrade_makes_it_and_can_be_repeated(self, bare: Installation) -> None:
        assert "no schema -> " in bare.run("db", "upgrade").stdout
        assert "up to date" in bare.run("db", "upgrade").stdout

    def test_current_fails_where_there_is_no_schema(self, bare: Installation) -> None:
        assert "no schema" in bare.run("db", "current", code=4).stdout

    def test_current_shows_the_revision(self, installation: Installation) -> None:
        assert "no schema" not in installation.run("db", "current").stdout


class TestScan:
    def test_it_writes_down_what_is_there(self, installation: Installation) -> None:
        write_series(installation.folder / "dicom" / "sub-01" / "ses-a", 2)
        assert installation.json("scan")["outcome"]["found"] == 1
        assert "found 1 session: 0 new" in installation.run("scan").stdout
        assert installation.json("session", "list")["sessions"][0]["subject"] == "01"

    def test_known_sessions_whose_folder_is_gone_are_named_and_stay_as_they_are(
        self, installation: Installation
    ) -> None:
        dicom = installation.folder / "dicom"
        for label in "abcdefgh":
            write_series(dicom / "sub-01" / f"ses-{label}", 1)
        before = installation.json("scan")["outcome"]
        assert (before["not_found"], before["lost_folders"]) == (0, [])
        shutil.rmtree(dicom / "sub-01" / "ses-b")
        text = installation.run("scan").stdout
        assert text.splitlines()[0].startswith("found 7 sessions: 0 new, 0 changed; ")
        assert f"1 known session was not found: sub-01/ses-b ({dicom}/sub-01/ses-b)\n" in text
        for label in "cdefgh":
            shutil.rmtree(dicom / "sub-01" / f"ses-{label}")
        text = installation.run("scan").stdout
        assert "7 known sessions were not found: sub-01/ses-b (" in text
        assert text.endswith(f"sub-01/ses-f ({dicom}/sub-01/ses-f), and 2 more\n")
        outcome = installation.json("scan")["outcome"]
        assert outcome["lost_folders"][0] == {"scope": "sub-01/ses-b", "folder": f"{dicom}/sub-01/ses-b"}
        with installation.state() as state:
            assert not [one for one in state.list_sessions() if one.status is SessionStatus.INVALID]
            value = state.get_value("scan")
            assert value is not None
            assert value[0]["not_found"] == 7

    def test_a_root_that_lost_everything_is_a_problem_and_no_list(self, installation: Installation) -> None:
        write_series(installation.folder / "dicom" / "sub-01" / "ses-a", 1)
        installation.run("scan")
        shutil.rmtree(installation.folder / "dicom" / "sub-01")
        report = installation.json("scan")
        assert report["outcome"]["not_found"] == 0
        assert "check that the file system is mounted" in report["problems"][0]


class TestStatus:
    def test_an_empty_installation(self, installation: Installation) -> None:
        report = installation.json("status")
        assert report["schema"] == 2
        assert report["pipelines"][0]["pipeline"] == "bids_conversion"
        assert report["sessions"] == {"settling": 0, "ready": 0, "invalid": 0, "excluded": 0}
        assert report["last_poll"] is None
        assert "never" in installation.run("status").stdout

    def test_failed_runs_are_counted_and_explained(self, failed: Installation) -> None:
        report = failed.json("status")
        assert report["pipelines"][0]["failed"] == 1
        assert [group["newest_run"] for group in report["failed"]["groups"]] == [1]
        assert "1 (run 1, sub-01/ses-a) bids_conversion application: " in failed.run("status").stdout
        assert "(run 1, sub-01/ses-a)" in failed.run("status").stdout

    def test_a_run_that_is_to_be_run_again_does_not_count_as_failed(self, failed: Installation) -> None:
        failed.run("runs", "retry", "1")
        row = failed.json("status")["pipelines"][0]
        assert (row["failed"], row["again"]) == (0, 1)

    def test_the_last_look_at_the_jobs_is_shown(self, installation: Installation) -> None:
        installation.run("tick")
        assert "last look at the jobs: 20" in installation.run("status").stdout
        assert installation.json("status")["last_poll"]["at"].startswith("20")

    def test_workers_with_another_configuration_are_named(self, installation: Installation) -> None:
        with installation.state() as state:
            state.set_value("worker_config", {"digest": "of another one"})
        words = "the workers were started with another configuration"
        assert words not in installation.run("status").stdout, "none runs"
        (installation.folder / "state" / "beat.alive").touch()
        assert words in installation.run("status").stdout
        installation.run("pipeline", "pause", "qsiprep")
        assert "send `neuroflow up` SIGHUP" in installation.run("pipeline", "resume", "qsiprep").stdout

    def test_holds_are_shown(self, installation: Installation) -> None:
        installation.run("pipeline", "pause", "qsiprep", "--reason", "new image")
        assert installation.json("status")["held"] == {"qsiprep": "new image"}
        assert "held: qsiprep: new image" in installation.run("status").stdout

    def test_the_same_wait_is_told_once(self, installation: Installation) -> None:
        with installation.services() as services:
            for number in range(30):
                add_session(services.state, f"{number:02}")
            services.hold("bids_conversion", reason="new image")
            advance(services, InlineDispatcher(services))
        groups = installation.json("status")["waiting"]["groups"]
        assert [(one["pipeline"], one["kind"], one["count"]) for one in groups] == [
            ("qsiprep", "upstream", 30),
            ("qsirecon", "upstream", 30),
            ("qsiparc", "upstream", 30),
            ("bids_conversion", "hold", 30),
        ]
        text = installation.run("status").stdout
        assert "30 qsiprep: waits for bids_conversion (sub-00, sub-01, sub-02, …)\n" in text


class TestRuns:
    def test_they_are_listed_and_filtered(self, failed: Installation) -> None:
        assert "sub-01/ses-a" in failed.run("runs", "list").stdout
        assert [
            run["id"] for run in failed.json("runs", "list", "--status", "failed", "--subject", "sub-01")["runs"]
        ] == [1]
        assert failed.json("runs", "list", "--status", "completed")["runs"] == []
        nothing = failed.run("runs", "list", "--session", "ses-b").stdout
        assert nothing == "there is one run, and it does not match\n"

    def test_a_completed_one_does_not_repeat_what_all_of_them_say(self, installation: Installation) -> None:
        with installation.state() as state:
            run = open_run(state, add_session(state))
            end_run(state, run.id)
            reason = state.get_run(run.id).reason
        assert reason
        assert reason not in installation.run("runs", "list").stdout

    def test_one_is_shown_with_attempts_and_history(self, failed: Installation) -> None:
        text = failed.run("runs", "show", "1").stdout
        assert "attempt 1: failed on slurm as job 4711" in text
        assert "given up" in text
        assert "2 cores, 4000 MiB, 60 min, 1 GPU" in text
        report = failed.json("runs", "show", "1")
        assert report["run"]["status"] == "failed"
        assert len(report["attempts"]) == 1

    def test_cancel_ends_an_open_run(self, pending: Installation) -> None:
        assert "is cancelled" in pending.run("runs", "cancel", "1", "--reason", "wrong").stdout
        with pending.state() as state:
            assert state.get_run(1).status is RunStatus.CANCELLED
        assert "is cancelled already" in pending.run("runs", "cancel", "1", code=2).stderr

    def test_retry_refuses_an_open_run(self, pending: Installation) -> None:
        assert "is pending: it can be run again once it has ended" in pending.run("runs", "retry", "1", code=2).stderr

    def test_retry_asks_once(self, failed: Installation) -> None:
        assert "in place of run 1" in failed.run("runs", "retry", "1", "--reason", "repaired").stdout
        assert "to be run again already" in failed.run("runs", "retry", "1", code=2).stderr


class TestSessions:
    def test_list_and_show(self, failed: Installation) -> None:
        assert "ready" in failed.run("session", "list", "--subject", "01").stdout
        assert failed.json("session", "list", "--status", "invalid")["sessions"] == []
        nothing = failed.run("session", "list", "--status", "invalid").stdout
        assert nothing == "no session is invalid; there is 1 session\n"
        assert "/dicom/01/a" in failed.run("session", "show", "sub-01", "ses-a").stdout
        assert failed.json("session", "show", "01", "a")["runs"][0]["id"] == 1

    def test_rerun(self, failed: Installation) -> None:
        assert "in place of run 1" in failed.run("session", "rerun", "01", "a", "--reason", "again").stdout
        assert (
            "no ended run of qsiprep"
            in failed.run("session", "rerun", "01", "a", "--pipeline", "qsiprep", code=2).stderr
        )

    def test_exclude_names_the_open_runs_and_include_takes_it_back(self, pending: Installation) -> None:
        text = pending.run("session", "exclude", "01", "a", "--reason", "moved").stdout
        assert "is excluded" in text
        assert "run 1 (bids_conversion of sub-01/ses-a) is pending, and will be withdrawn" in text
        pending.run("session", "include", "sub-01", "ses-a")
        with pending.state() as state:
            session = state.find_session("01", "a")
        assert session is not None
        assert session.status is SessionStatus.SETTLING

    def test_subjects(self, failed: Installation) -> None:
        assert failed.json("subject", "list")["subjects"][0]["ready"] == 1
        assert "01" in failed.run("subject", "list").stdout
        assert "bids_conversion" in failed.run("subject", "show", "sub-01").stdout
        assert failed.json("subject", "show", "01")["subject"]["label"] == "01"


class TestPipelines:
    def test_list_and_show(self, installation: Installation) -> None:
        assert "qsiparc" in installation.run("pipeline", "list").stdout
        assert installation.json("pipeline", "list")["pipelines"][1]["after"] == "bids_conversion"
        assert "heavy_processing" in installation.run("pipeline", "show", "qsiprep").stdout
        assert installation.json("pipeline", "show", "qsiprep")["resources"]["cpus"] == 8

    def test_pause_and_resume(self, installation: Installation) -> None:
        assert "is held" in installation.run("pipeline", "pause", "qsiprep").stdout
        assert "held already" in installation.run("pipeline", "pause", "qsiprep").stdout
        assert "goes on" in installation.run("pipeline", "resume", "qsiprep").stdout
        assert "was not held" in installation.run("pipeline", "resume", "qsiprep").stdout

    def test_render_shows_the_job_and_writes_nothing(self, pending: Installation) -> None:
        with pending.services() as services:
            attempts = services.config.attempts_dir
        text = pending.run("pipeline", "render", "1").stdout
        assert "heudiconv" in text
        assert "nf-render" in text
        assert list(attempts.iterdir()) == []
        with pending.state() as state:
            assert state.get_run(1).status is RunStatus.PENDING

    def test_render_shows_the_job_of_a_run_that_does_not_exist(self, installation: Installation) -> None:
        installation.config.write_text(f"{CONFIG}pipelines: {{qsiprep: {{version: 26.1.1}}}}\n")
        text = installation.run("pipeline", "render", "qsiprep", "--subject", "sub-07", "--session", "ses-a").stdout
        assert text.startswith("# a preview: the run does not exist, and its number 0 and the token nf-qsiprep-preview")
        assert "# not in the database: subject 07, session a\n" in text
        assert "--participant-label 07" in text
        with installation.state() as state:
            assert state.list_runs() == []

    def test_render_knows_the_sessions_of_a_subject(self, pending: Installation) -> None:
        text = pending.run("pipeline", "render", "bids_conversion", "--subject", "01").stdout
        assert "not in the database" not in text
        assert "heudiconv" in text

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["qsiprp", "--subject", "1"], "Did you mean 'qsiprep'"),
            (["qsiprep"], "qsiprep needs a subject"),
            (["qsiprep", "--subject", "99"], "no session of subject 99 is known, and --session names none"),
            (["qsirecon", "--subject", "9", "--session", "a", "--session", "b"], "covers one session, and there are 2"),
            (["qsiprep", "--subject", "a/b"], "is no label"),
            (["1", "--subject", "01"], "has its subject and session already"),
        ],
    )
    def test_render_says_what_it_needs(self, pending: Installation, arguments: list[str], words: str) -> None:
        result = CliRunner().invoke(cli, ["--config", str(pending.config), "pipeline", "render", *arguments])
        assert result.exit_code in (2, 3)
        assert words in result.output


class TestLogs:
    @pytest.fixture
    def logged(self, installation: Installation) -> Installation:
        """A failed run whose attempt wrote both files."""
        folder = installation.folder / "attempt"
        folder.mkdir()
        (folder / "stdout.log").write_text("working\n")
        (folder / "stderr.log").write_text("broken\n")
        with installation.state() as state:
            run = open_run(state, add_session(state))
            attempt = state.claim_run(
                run.id, token="t", where="local", folder=str(folder), resources=RESOURCES, image=None, limit=1
            )
            assert attempt is not None
            state.cancel_run(run.id, reason="enough", actor="tester")
        return installation

    def test_both_streams(self, logged: Installation) -> None:
        assert logged.run("logs", "1").stdout == "working\n"
        assert logged.run("logs", "1", "--stderr", "--attempt", "1").stdout == "broken\n"

    def test_an_attempt_that_is_not_there(self, logged: Installation) -> None:
        assert "has no attempt 2; there are: 1" in logged.run("logs", "1", "--attempt", "2", code=3).stderr

    def test_following_ends_with_the_run(self, logged: Installation) -> None:
        with logged.state() as state:
            assert state.get_run(1).status is RunStatus.CANCELLED
        assert "working" in logged.run("logs", "1", "-f").stdout

    def test_a_run_that_has_not_started(self, pending: Installation) -> None:
        assert "has no attempt yet: it is pending" in pending.run("logs", "1", code=3).stderr

    def test_a_file_that_is_not_there(self, failed: Installation, tmp_path: Path) -> None:
        with failed.services() as services:
            (attempt,) = services.state.attempts_of(1)
            with services.database.write() as session:
                session.execute(update(AttemptRow).values(folder=str(tmp_path)))
        assert not Path(attempt.folder).exists()
        assert "is gone, its logs with it" in failed.run("logs", "1", code=3).stderr
        (tmp_path / "job.json").write_text("{}", encoding="utf-8")
        assert "has written no stdout.log" in failed.run("logs", "1", code=3).stderr


class TestWorkflow:
    def test_a_dry_run_changes_nothing(self, installation: Installation) -> None:
        with installation.state() as state:
            add_session(state)
        assert "open bids_conversion sub-01/ses-a" in installation.run("workflow", "run", "--dry-run").stdout
        assert installation.json("runs", "list")["runs"] == []
        assert installation.json("workflow", "list")["workflow_runs"] == []

    def test_a_synchronous_pass_over_nothing(self, installation: Installation) -> None:
        assert "workflow run 1: completed" in installation.run("workflow", "run", "--sync").stdout
        assert "completed" in installation.run("workflow", "status").stdout
        assert installation.json("workflow", "status", "1")["workflow_run"]["id"] == 1
        assert "completed" in installation.run("workflow", "list").stdout
        assert "0 runs cancelled" in installation.run("workflow", "cancel", "1").stdout

    @pytest.mark.slow
    def test_a_run_that_fails_is_named_and_gives_exit_code_1(
        self, installation: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", "/usr/bin:/bin")  # no heudiconv
        write_series(installation.folder / "dicom" / "sub-01" / "ses-a", 2)
        result = installation.run("workflow", "run", "--sync", "--stage", "discovery")
        result = installation.run("workflow", "run", "--sync", "--stage", "bids_conversion", code=1)
        said, hint = result.stderr.splitlines()[-2:]
        assert said.endswith("1 run failed: 1")
        assert "`neuroflow why --run 1`, `neuroflow logs 1 --stderr`" in hint
        assert "run 1 bids_conversion sub-01/ses-a: failed: " in result.stdout
        assert any(line.split()[:1] == ["qsiparc"] for line in result.stdout.splitlines()), "the table of the status"

    @pytest.mark.slow
    def test_until_when_it_waits_is_said_at_once(
        self, installation: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", "/usr/bin:/bin")  # no heudiconv
        again = "max_attempts: 2\n    initial_delay_minutes: 0.02\n    jitter: 0"
        installation.config.write_text(installation.config.read_text().replace("max_attempts: 1", again))
        write_series(installation.folder / "dicom" / "sub-01" / "ses-a", 2)
        result = installation.run("workflow", "run", "--sync", code=1)
        waits, meanwhile, failed = result.stdout.splitlines()[:3]
        assert waits.startswith("run 1 bids_conversion sub-01/ses-a: ")
        assert "attempt 1 of 2 failed" in waits
        assert re.search(r"; next attempt at \d\d:\d\d UTC$", waits)
        assert meanwhile.startswith("Ctrl-C ends this")
        assert failed.startswith("run 1 bids_conversion sub-01/ses-a: failed: ")
        assert installation.json("runs", "list")["runs"][0]["status"] == "failed"

    @pytest.mark.slow
    def test_without_a_broker_it_says_so(self, installation: Installation) -> None:
        with installation.config.open("a") as stream:
            stream.write("redis:\n  url: redis://127.0.0.1:1/0\n")
        with installation.state() as state:
            add_session(state)
        *_, said, hint = installation.run("workflow", "run", code=1).stderr.splitlines()
        assert "the broker does not answer" in said
        assert "neuroflow up" in hint

    def test_a_tick_leaves_everything_to_another_one_at_work(self, pending: Installation) -> None:
        with pending.state() as state, lease(state, "tick"):
            assert pending.run("tick").stdout == "another tick is at work; this one leaves everything to it\n"
        with pending.state() as state:
            assert state.get_run(1).status is RunStatus.PENDING

    def test_a_tick_over_nothing(self, installation: Installation) -> None:
        lines = installation.run("tick").stdout.splitlines()
        assert [line.split(":")[0] for line in lines] == ["scan", "poll", "advance"]


class TestCeleryArguments:
    def test_a_worker_serves_the_queues_that_were_asked_for(self, bare: Installation) -> None:
        config = NeuroflowConfig.find_and_load(bare.config)
        assert worker_arguments(config, concurrency=None, queues="bids, processing", level="DEBUG") == (
            "worker",
            "--queues=bids,processing",
            "--concurrency=4",
            *FRUGAL,
            "--loglevel=DEBUG",
        )

    def test_beat_keeps_its_files_in_the_state_folder(self, bare: Installation) -> None:
        config = NeuroflowConfig.find_and_load(bare.config)
        arguments = beat_arguments(config, level=None)
        assert f"--schedule={bare.folder / 'state' / 'celerybeat-schedule'}" in arguments
        assert f"--pidfile={bare.folder / 'state' / 'celerybeat.pid'}" in arguments


class TestOutput:
    def test_times_enums_and_dataclasses_become_json(self) -> None:
        value = {
            "at": datetime(2026, 3, 1, tzinfo=UTC),
            "what": (RunStatus.FAILED, Path("/x")),
            "of": Resources(1, 2, 3, partition="main"),
        }
        assert plain_data(value) == {
            "at": "2026-03-01T00:00:00+00:00",
            "what": ["failed", "/x"],
            "of": {"cpus": 1, "memory_mb": 2, "time_minutes": 3, "gpus": 0, "partition": "main"},
        }

    def test_control_characters_do_not_reach_the_terminal(self) -> None:
        assert escaped("a\x1b[2Jb\n") == "a\\x1b[2Jb\\n"


class TestExistingCommands:
    def test_config_is_wired(self, bare: Installation) -> None:
        assert "is valid" in bare.run("config", "validate").stdout

    def test_init_is_wired(self, bare: Installation) -> None:
        bare.run("init", str(bare.folder / "new"))
        assert (bare.folder / "new" / "neuroflow.yaml").is_file()

    def test_up_is_wired(self, bare: Installation) -> None:
        assert "not running" in bare.run("up", "--status", code=3).stdout
