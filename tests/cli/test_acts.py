"""What people change by hand: shown first, asked about where it is more than one thing, done once."""

from __future__ import annotations

import codecs
import json
import os
import pty
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from neuroflow.cli.main import cli
from neuroflow.domain import OPEN_RUN_STATUSES, FailureClass, RetryDecision, RunStatus, SessionStatus
from tests.cli.test_commands import Installation
from tests.support.states import FAILURE, GIVE_UP, add_session, end_run, open_run, submit

OOM = replace(FAILURE, failure=FailureClass.OUT_OF_MEMORY)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of the cohort, to be copied."""
    made = Installation(tmp_path_factory.mktemp("made"))
    made.run("db", "upgrade")
    with made.state() as state:
        for number in range(1, 6):
            session = add_session(state, f"0{number}")
            # As the scheduler would have it: over the session's present files.
            run = open_run(state, session, key=f"dicom:{session.fingerprint}")
            if number in (2, 3):
                attempt = submit(state, run.id)
                state.record_verdict(attempt.id, OOM, GIVE_UP, None, signature="aaaa")
            elif number != 5:
                end_run(state, run.id, success=number == 4)
    return made.folder / "state"


@pytest.fixture
def cohort(tmp_path: Path, made_once: Path) -> Installation:
    """Five subjects: conversions 1 to 3 failed, 2 and 3 for want of memory; 4 is done; 5 has not started."""
    shutil.copytree(made_once, tmp_path / "state")
    return Installation(tmp_path)


def dump(installation: Installation) -> list[str]:
    """Return everything that the database holds."""
    with sqlite3.connect(installation.folder / "state" / "neuroflow.db") as connection:
        return list(connection.iterdump())


def superseded(installation: Installation) -> list[int]:
    with installation.state() as state:
        return sorted(run.id for run in state.list_runs() if run.superseded)


class TestDryRun:
    @pytest.mark.parametrize(
        ("command", "words"),
        [
            ("session rerun 01 a", "bids_conversion: 1 new run;"),
            ("session exclude 04 a", "exclude: 1 session"),
            ("session include 04 a", "is ready already"),
            ("subject rerun 04 --from bids_conversion", "1 in place of results"),
            ("runs retry 1 2 3", "rerun: 3 runs"),
            ("runs retry --class out_of_memory", "run 3 (bids_conversion of sub-03/ses-a): failed (out_of_memory)"),
            ("runs cancel 5", "does not come any more: 1 of qsiprep, 1 of qsirecon, 1 of qsiparc"),
            ("runs priority 5 --set high", "priority to high: 1 run"),
            ("runs priority --subject 05 --set low", "sub-05: normal priority"),
        ],
    )
    def test_it_shows_what_follows_and_changes_nothing(self, cohort: Installation, command: str, words: str) -> None:
        before = dump(cohort)
        assert words in cohort.run(*command.split(), "--dry-run").stdout
        data = cohort.json(*command.split(), "--dry-run")
        assert (data["schema"], data["dry_run"]) == (1, True)
        assert dump(cohort) == before

    def test_what_is_shown_is_what_is_done(self, cohort: Installation) -> None:
        shown = cohort.json("runs", "retry", "--class", "out_of_memory", "--dry-run")
        done = cohort.json("runs", "retry", "--class", "out_of_memory", "--reason", "more memory", "--yes")
        assert [target["runs"] for target in shown["targets"]] == [[2], [3]]
        assert shown["follows"] == done["follows"]
        assert (done["done"], done["left_alone"], done["errors"]) == ([2, 3], [], [])
        opened = cohort.run("workflow", "run", "--dry-run").stdout
        named = [f"open {item['pipeline']} {item['scope']}" for item in shown["follows"] if item["scope"].count("/")]
        assert all(line in opened for line in named if "bids_conversion" in line)

    def test_results_that_are_replaced_are_told_to_stay_until_then(self, cohort: Installation) -> None:
        text = cohort.run("runs", "retry", "4", "--dry-run").stdout
        assert "results stay where they are until the new ones are whole" in text

    def test_a_held_pipeline_is_named(self, cohort: Installation) -> None:
        cohort.run("pipeline", "pause", "bids_conversion", "--reason", "new image")
        assert "bids_conversion is held" in cohort.run("runs", "retry", "1", "--dry-run").stdout


def test_a_session_that_can_not_be_run_is_not_marked(cohort: Installation) -> None:
    cohort.run("session", "exclude", "04", "a", "--reason", "motion")
    before = dump(cohort)
    said = cohort.run("session", "rerun", "04", "a", code=2).stderr
    assert "sub-04/ses-a is excluded (motion): take it in first" in said
    said = cohort.run("runs", "retry", "4", code=2).stderr
    assert "run 4 (bids_conversion of sub-04/ses-a) can't be run again: its session is excluded (motion)" in said
    assert dump(cohort) == before


def test_a_subject_without_a_session_that_is_ready_is_not_marked(cohort: Installation) -> None:
    cohort.run("session", "exclude", "04", "a", "--reason", "motion")
    before = dump(cohort)
    said = cohort.run("subject", "rerun", "04", "--from", "bids_conversion", code=2).stderr
    assert "sub-04 has no session that is ready: ses-a is excluded (motion): take it in first" in said
    assert dump(cohort) == before


def test_of_a_subject_the_sessions_that_are_not_ready_are_left_out(cohort: Installation) -> None:
    with cohort.state() as state:
        session = add_session(state, "04", "b")
        run = open_run(state, session, key=f"dicom:{session.fingerprint}")
        end_run(state, run.id, success=True)
    cohort.run("session", "exclude", "04", "a", "--reason", "motion")
    shown = cohort.run("subject", "rerun", "04", "--from", "bids_conversion", "--dry-run").stdout
    assert f"sub-04: ses-a is excluded; run {run.id} (bids_conversion of sub-04/ses-b)" in shown
    cohort.run("subject", "rerun", "04", "--from", "bids_conversion")
    assert superseded(cohort) == [run.id]


@pytest.mark.parametrize(
    "command",
    ["runs retry 1", "session rerun 01 a", "subject rerun 01 --from bids_conversion", "runs retry 1 2 --reason x"],
)
def test_it_says_that_nobody_starts_the_work(cohort: Installation, command: str) -> None:
    words = "no service runs, and nothing starts before one does: `neuroflow up`"
    assert words in cohort.run(*command.split(), "--yes").stdout
    (cohort.folder / "state" / "beat.alive").touch()
    assert words not in cohort.run("runs", "retry", "3").stdout


def test_the_list_tells_what_became_of_runs_that_failed(cohort: Installation) -> None:
    cohort.run("runs", "retry", "1", "2", "--reason", "mended", "--yes")
    with cohort.state() as state:
        session = state.find_session("01", "a")
        assert session is not None
        later = open_run(state, session, key=f"dicom:{session.fingerprint}")
    lines = {line.split()[0]: line for line in cohort.run("runs", "list").stdout.splitlines()}
    assert f"replaced by run {later.id}: " in lines["1"]
    assert "to be run again: " in lines["2"]
    assert "replaced" not in lines["3"]
    assert "again" not in lines["3"]
    assert "replaced" in cohort.run("subject", "show", "01").stdout
    assert cohort.json("runs", "list", "--status", "done")["runs"][0]["status"] == "completed"


def test_everything_again_needs_a_yes_where_nothing_failed(cohort: Installation) -> None:
    result = cohort.run("session", "rerun", "04", "a", code=2)
    assert "from the conversion on" in result.stderr
    assert "--pipeline" in result.stderr
    assert superseded(cohort) == []
    cohort.run("session", "rerun", "04", "a", "--yes")
    assert superseded(cohort) == [4]


def test_a_waiting_retry_is_made_now(cohort: Installation) -> None:
    later = RetryDecision(
        RunStatus.RETRY_WAIT, "tried again", counted=True, next_attempt_at=datetime(2999, 1, 1, tzinfo=UTC)
    )
    with cohort.state() as state:
        state.record_verdict(submit(state, 5).id, OOM, later, None)
    assert "its next attempt comes now" in cohort.run("runs", "retry", "5", "--dry-run").stdout
    assert cohort.json("runs", "retry", "5", "--reason", "mended")["done"] == [5]
    with cohort.state() as state:
        run = state.get_run(5)
        assert (run.status, run.superseded) == (RunStatus.RETRY_WAIT, False)
        assert run.next_attempt_at is not None
        assert run.next_attempt_at.year < 2999


class TestManyThings:
    def test_they_need_a_reason(self, cohort: Installation) -> None:
        before = dump(cohort)
        result = cohort.run("runs", "retry", "1", "2", "--yes", code=2)
        assert "this is about 2 runs, and needs a reason" in result.stderr
        assert dump(cohort) == before

    def test_without_a_terminal_they_need_a_yes(self, cohort: Installation) -> None:
        before = dump(cohort)
        result = cohort.run("runs", "retry", "--status", "failed", "--reason", "new image", code=2)
        assert "this would rerun 3 runs; nothing was changed" in result.stderr
        assert "add --yes" in result.stderr
        assert dump(cohort) == before

    def test_a_filter_that_fits_one_thing_needs_neither(self, cohort: Installation) -> None:
        assert "in place of run 1" in cohort.run("runs", "retry", "--subject", "01").stdout

    def test_nothing_that_matches_is_no_error(self, cohort: Installation) -> None:
        result = cohort.run("runs", "retry", "--class", "timeout", "--reason", "x", "--yes")
        assert "nothing to do: no run matches" in result.stderr
        assert cohort.json("runs", "retry", "--class", "timeout")["targets"] == []

    def test_asked_for_twice_they_are_done_once(self, cohort: Installation) -> None:
        command = ("runs", "retry", "1", "2", "--reason", "new image", "--yes")
        assert "2 runs asked for again" in cohort.run(*command).stdout
        assert "0 runs asked for again, 2 so already" in cohort.run(*command).stdout
        with cohort.state() as state:
            rows = [row for row in state.list_audit(entity="run", entity_id=1) if row.event == "run.superseded"]
        assert [row.reason for row in rows] == ["new image"]

    def test_cancelled_again_by_id_the_rest_is_done(self, cohort: Installation) -> None:
        with cohort.state() as state:
            for number in range(3):
                open_run(state, add_session(state, f"1{number}"))
        cohort.run("runs", "cancel", "6")
        text = cohort.run("runs", "cancel", "4", "6", "7", "8", "--reason", "wrong", "--yes").stdout
        assert "2 runs cancelled, 1 so already, 1 left out" in text
        assert "run 4 (bids_conversion of sub-04/ses-a) is completed already" in text
        assert "sub-1" not in cohort.run("runs", "list", "--status", "pending").stdout

    @pytest.mark.slow
    def test_killed_half_way_the_same_command_does_the_rest(self, cohort: Installation) -> None:
        program = (
            "import os, signal, sys; from neuroflow.cli.main import cli; from neuroflow.orchestrator import acts; "
            "acts.BATCH = 2; real = acts.perform; "
            "acts.perform = lambda *given: real(*given, on_batch=lambda done: os.kill(os.getpid(), signal.SIGKILL)); "
            "cli(sys.argv[1:])"
        )
        command = ("runs", "retry", "--status", "failed", "--reason", "new image", "--yes")
        killed = subprocess.run(
            [sys.executable, "-c", program, "--config", str(cohort.config), *command], cwd=ROOT, timeout=60, check=False
        )
        assert killed.returncode == -signal.SIGKILL
        assert superseded(cohort) == [1, 2]
        assert cohort.json(*command)["done"] == [3]
        assert superseded(cohort) == [1, 2, 3]
        with cohort.state() as state:
            assert len([row for row in state.list_audit(entity="run") if row.event == "run.superseded"]) == 3


class TestLists:
    def test_every_bad_line_is_told_and_nothing_is_done(self, cohort: Installation) -> None:
        path = cohort.folder / "list.txt"
        path.write_text("sub-01 ses-a\nsub-99 ses-a\nsub-02 ses-b\nsub-../etc\nsub-03 ses-a x\n")
        before = dump(cohort)
        result = cohort.run("session", "rerun", "--file", str(path), "--reason", "x", "--yes", code=2)
        assert "nothing was changed: 4 lines of" in result.stderr
        for line in ("line 2: there is no subject '99'", "line 3: subject '02' has no session 'b'", "line 4", "line 5"):
            assert line in result.stderr
        assert dump(cohort) == before

    def test_a_table_names_sessions(self, cohort: Installation) -> None:
        path = cohort.folder / "sessions.tsv"
        path.write_text("participant_id\tsession_id\nsub-01\tses-a\nsub-02\tses-a\n")
        text = cohort.run("session", "exclude", "--file", str(path), "--reason", "motion", "--yes").stdout
        assert "2 sessions excluded" in text
        with cohort.state() as state:
            assert [one.subject for one in state.list_sessions(status=SessionStatus.EXCLUDED)] == ["01", "02"]
        assert (
            "2 sessions included"
            in cohort.run("session", "include", "--file", str(path), "--reason", "looked again", "--yes").stdout
        )

    def test_standard_input_is_a_list_and_no_answer(self, cohort: Installation) -> None:
        command = ["--config", str(cohort.config), "runs", "retry", "--file", "-", "--reason", "new image"]
        asked = CliRunner().invoke(cli, command, input="sub-01\nsub-02 ses-a\n")
        assert (asked.exit_code, superseded(cohort)) == (2, [])
        done = CliRunner().invoke(cli, [*command, "--yes", "--json"], input="sub-01\nsub-02 ses-a\n")
        assert json.loads(done.stdout)["done"] == [1, 2]

    def test_a_list_of_subjects_has_no_sessions(self, cohort: Installation) -> None:
        path = cohort.folder / "list.txt"
        path.write_text("sub-01\nsub-02 ses-a\n")
        command = ("subject", "rerun", "--from", "bids_conversion", "--file", str(path), "--reason", "x", "--yes")
        assert "line 2: it names session 'a'" in cohort.run(*command, code=2).stderr
        path.write_text("participant_id\tage\nsub-01\t33\nsub-04\t34\n")
        assert "2 subjects asked for again" in cohort.run(*command).stdout
        assert superseded(cohort) == [1, 4]

    @pytest.mark.parametrize(
        ("content", "words"), [(None, "can't be read"), (b"\xff\xfe", "UTF-8"), (b"#\n", "nothing")]
    )
    def test_a_list_that_is_none_is_refused(self, cohort: Installation, content: bytes | None, words: str) -> None:
        path = cohort.folder / "list"
        if content is not None:
            path.write_bytes(content)
        assert words in cohort.run("runs", "retry", "--file", str(path), code=2).stderr


class TestWrongInput:
    @pytest.mark.parametrize(
        ("command", "code", "words"),
        [
            ("runs cancel", 2, "needs ids of runs, or a filter"),
            ("runs retry 1 --status failed", 2, "give either ids of runs, or filters"),
            ("runs retry 1 98 99", 3, "there is no run 98, 99"),
            ("runs retry --status running", 2, "`runs retry` is for those that are cancelled, completed, failed"),
            ("runs cancel --status failed", 2, "`runs cancel` is for those that are pending"),
            ("runs retry --class memory", 2, "'memory' is none of: out_of_memory"),
            ("runs retry --since tomorrow --status failed", 2, "'tomorrow' is no time"),
            ("runs retry --pipeline qsipreb", 3, "Did you mean 'qsiprep'"),
            ("runs retry --subject 77", 3, "there is no subject '77'"),
            ("runs priority 5 --set urgent", 2, "'urgent' is none of: high, normal, low, or a whole number"),
            ("runs priority 5 --set 101", 2, "from -100 to 100"),
            ("runs priority 4 --set high", 2, "is completed already"),
            ("session rerun 01", 2, "name one subject and one session"),
            ("session exclude", 2, "needs a subject and a session, or a filter"),
            ("session exclude --pipeline qsiprep", 2, "needs a subject and a session, or a filter"),
            ("session rerun 05 a", 2, "add --cancel-running, or `neuroflow runs cancel 5` first"),
            ("subject rerun 01 --from qsirecom", 3, "Did you mean 'qsirecon'"),
            ("subject rerun 01 --from qsiprep", 2, "sub-01 has no ended run of qsiprep to run again"),
            ("subject rerun 05 --from bids_conversion", 2, "is pending; add --cancel-running"),
            ("subject rerun --from qsiprep", 2, "name subjects, or give a list"),
        ],
    )
    def test_it_is_named_with_what_is_allowed_and_nothing_is_done(
        self, cohort: Installation, command: str, code: int, words: str
    ) -> None:
        before = dump(cohort)
        assert words in cohort.run(*command.split(), code=code).stderr
        assert dump(cohort) == before


class TestOneThing:
    def test_a_reason_and_its_person_are_in_the_history_of_the_new_run(self, cohort: Installation) -> None:
        cohort.run("session", "rerun", "01", "a", "--reason", "exported again\x1b[2J")
        with cohort.services() as services:
            session = services.state.find_session("01", "a")
            assert session is not None
            open_run(services.state, session)
        text = cohort.run("runs", "show", "6").stdout
        assert "exported again\\x1b[2J" in text
        assert "\x1b" not in text

    def test_a_subject_that_is_open_is_cancelled_first_where_that_is_asked_for(self, cohort: Installation) -> None:
        command = ("subject", "rerun", "05", "--from", "bids_conversion", "--cancel-running")
        assert "will be cancelled" in cohort.run(*command, "--dry-run").stdout
        assert "in place of run 5" in cohort.run(*command, "--reason", "new heuristic").stdout
        with cohort.state() as state:
            run = state.get_run(5)
        assert (run.status, run.superseded) == (RunStatus.CANCELLED, True)
        assert "open bids_conversion sub-05/ses-a" in cohort.run("workflow", "run", "--dry-run").stdout

    def test_excluding_what_is_excluded_is_no_error(self, cohort: Installation) -> None:
        cohort.run("session", "exclude", "01", "a")
        assert "sub-01/ses-a is excluded already" in cohort.run("session", "exclude", "01", "a").stdout

    def test_a_priority_is_set_for_a_run_or_for_a_subject(self, cohort: Installation) -> None:
        assert "pending, normal priority" in cohort.run("runs", "priority", "5", "--set", "high", "--dry-run").stdout
        assert "the priority is high" in cohort.run("runs", "priority", "5", "--set", "high").stdout
        assert "the priority is -7" in cohort.run("runs", "priority", "--subject", "01", "--set", "-7").stdout
        with cohort.state() as state:
            assert state.get_run(5).priority == 10
            assert state.get_subject("01").priority == -7

    def test_sessions_are_chosen_by_how_their_runs_stand(self, cohort: Installation) -> None:
        cohort.run("session", "exclude", "--class", "out_of_memory", "--reason", "too large", "--yes")
        with cohort.state() as state:
            assert [one.subject for one in state.list_sessions(status=SessionStatus.EXCLUDED)] == ["02", "03"]
            assert [run.id for run in state.list_runs(status=OPEN_RUN_STATUSES)] == [5]


def at_a_terminal(installation: Installation, arguments: Sequence[str], answer: str) -> tuple[int, str]:
    """Run a command line at a terminal, answer its question, and return its exit code and what it showed."""
    mine, its = pty.openpty()
    command = [sys.executable, "-m", "neuroflow.cli.main", "--config", str(installation.config), *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdin=its, stdout=its, stderr=its, start_new_session=True)
    os.close(its)
    decoder = codecs.getincrementaldecoder("utf-8")()  # a character may come in two pieces
    shown = ""
    try:
        while select.select([mine], [], [], 60)[0]:
            try:
                shown += decoder.decode(os.read(mine, 4096))
            except OSError:  # the other end is closed
                break
            if answer and "[y/N]" in shown:
                os.write(mine, f"{answer}\n".encode())
                answer = ""
        return process.wait(timeout=60), shown
    finally:
        process.kill()
        process.wait()
        os.close(mine)


@pytest.mark.slow
def test_at_a_terminal_it_asks_and_takes_no_for_an_answer(cohort: Installation) -> None:
    command = ("runs", "retry", "--status", "failed", "--reason", "new image")
    before = dump(cohort)
    code, shown = at_a_terminal(cohort, command, "n")
    assert "rerun 3 runs? [y/N]" in shown
    assert "nothing was changed" in shown
    assert (code, dump(cohort)) == (1, before)
    code, shown = at_a_terminal(cohort, command, "y")
    assert (code, superseded(cohort)) == (0, [1, 2, 3])
