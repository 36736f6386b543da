"""`neuroflow recovery` on a small installation with an SQLite database."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from neuroflow.core.state import StateManager
from neuroflow.domain import FailureClass
from tests.cli.test_commands import Installation
from tests.support.states import FAILURE, GIVE_UP, RESOURCES, add_session, open_run

DWI, MASK = "aaaaaaaaa1", "0123456789"


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """An installation with three failed conversions, two of them alike, and a failed reconstruction."""
    installation = Installation(tmp_path)
    installation.make_database()
    with installation.state() as state:
        for subject, error, signature in (("01", "no dwi", DWI), ("02", "no dwi", DWI), ("03", "no mask", MASK)):
            fail(state, subject, error, signature, folder=tmp_path / subject)
        fail(state, "03", "no spec", "cccccccccc", "qsirecon", FailureClass.NO_OUTPUT, folder=tmp_path / "recon")
    return installation


def fail(
    state: StateManager,
    subject: str,
    error: str,
    signature: str,
    pipeline: str = "bids_conversion",
    failure: FailureClass = FailureClass.APPLICATION,
    *,
    folder: Path,
    session: str = "a",
    key: str = "k1",
) -> None:
    run = open_run(state, add_session(state, subject, session), pipeline, key=key)
    folder.mkdir()
    (folder / "stderr.log").write_text(f"first line\nError: {error}\x1b[31m of {subject}\n")
    refuse(state, run.id, error, signature, failure, folder=folder)


def refuse(
    state: StateManager,
    run_id: int,
    error: str = "no dwi",
    signature: str = DWI,
    failure: FailureClass = FailureClass.APPLICATION,
    *,
    folder: Path,
) -> None:
    """Let a run that is open fail for good."""
    attempt = state.claim_run(
        run_id, token=f"t{run_id}", where="local", folder=str(folder), resources=RESOURCES, image=None, limit=9
    )
    assert attempt is not None
    verdict = replace(FAILURE, failure=failure, reason=f"exit code 1: {error}")
    assert state.record_verdict(attempt.id, verdict, GIVE_UP, None, signature=signature)


class TestList:
    def test_those_that_failed_alike_stand_together(self, installation: Installation) -> None:
        lines = installation.run("recovery", "list").stdout.splitlines()
        assert len(lines) == 4
        assert lines[1].split()[:4] == ["2", DWI, "bids_conversion", "application"]
        assert "sub-02/ses-a, sub-01/ses-a" in lines[1]
        assert "exit code 1: no dwi" in lines[1]

    def test_as_data(self, installation: Installation) -> None:
        report = installation.json("recovery", "list", "--pipeline", "bids_conversion")
        assert report["schema"] == 1
        assert [(group["signature"], [run["id"] for run in group["runs"]]) for group in report["groups"]] == [
            (DWI, [2, 1]),
            (MASK, [3]),
        ]

    def test_filters(self, installation: Installation) -> None:
        assert MASK not in installation.run("recovery", "list", "--signature", DWI).stdout
        assert "qsirecon" in installation.run("recovery", "list", "--failure", "no_output").stdout
        assert "nothing waits" in installation.run("recovery", "list", "--failure", "timeout").stdout
        assert "no pipeline 'x'" in installation.run("recovery", "list", "--pipeline", "x", code=3).stderr
        assert "none of: out_of_memory" in installation.run("recovery", "list", "--failure", "oom", code=2).stderr

    def test_many_scopes_are_cut_short(self, installation: Installation, tmp_path: Path) -> None:
        with installation.state() as state:
            for number in range(10, 16):
                fail(state, str(number), "no dwi", DWI, folder=tmp_path / str(number))
        assert "and 3 more" in installation.run("recovery", "list").stdout


class TestShow:
    def test_a_signature_with_the_end_of_one_log(self, installation: Installation) -> None:
        text = installation.run("recovery", "show", DWI).stdout
        for part in ("exit code 1: no dwi", "sub-01/ses-a", "sub-02/ses-a", "example: run 2", "Error: no dwi\\x1b[31m"):
            assert part in text
        assert "sub-03" not in text

    def test_a_run(self, installation: Installation) -> None:
        report = installation.json("recovery", "show", "1")
        assert [run["id"] for run in report["groups"][0]["runs"]] == [1]
        assert report["example"]["run_id"] == 1
        assert report["example"]["tail"][0] == "first line"

    def test_ten_digits_are_a_signature(self, installation: Installation) -> None:
        assert "run 3" in installation.run("recovery", "show", MASK).stdout

    def test_a_run_without_a_log(self, installation: Installation, tmp_path: Path) -> None:
        (tmp_path / "01" / "stderr.log").unlink()
        assert "it left no log" in installation.run("recovery", "show", "1").stdout

    @pytest.mark.parametrize("what", ["ffffffffff", "99", "everything"])
    def test_what_is_not_there(self, installation: Installation, what: str) -> None:
        installation.run("recovery", "show", what, code=3)


class TestRetry:
    def test_a_dry_run_changes_nothing(self, installation: Installation) -> None:
        assert "run 1 (bids_conversion of sub-01/ses-a) would be" in (
            installation.run("recovery", "retry", "1", "--dry-run").stdout
        )
        assert "run 2 " in installation.run("recovery", "retry-all", "--dry-run").stdout
        with installation.state() as state:
            assert len(state.dead_letters()) == 4

    def test_the_next_pass_opens_new_runs(self, installation: Installation) -> None:
        text = installation.run("recovery", "retry", "1", "2", "--reason", "new image").stdout
        assert "run 1 (bids_conversion of sub-01/ses-a) will be run again" in text
        with installation.state() as state:
            assert [state.get_run(run_id).superseded for run_id in (1, 2, 3)] == [True, True, False]
            assert state.list_audit(entity="run", entity_id=1)[-1].reason == "new image"
        plan = installation.run("workflow", "run", "--dry-run").stdout
        assert "open bids_conversion sub-01/ses-a: asked for again" in plan
        assert "open bids_conversion sub-03/ses-a: asked for again" not in plan

    def test_nothing_is_changed_when_one_of_them_does_not_wait(self, installation: Installation) -> None:
        installation.run("recovery", "retry", "1")
        error = installation.run("recovery", "retry", "2", "1", code=2).stderr
        assert "run 1 (bids_conversion of sub-01/ses-a) does not wait for a person: it is to be run again" in error
        assert "no run 99" in installation.run("recovery", "retry", "99", code=3).stderr
        with installation.state() as state:
            assert not state.get_run(2).superseded

    def test_a_held_pipeline_is_named(self, installation: Installation) -> None:
        installation.run("pipeline", "pause", "bids_conversion", "--reason", "new image on Monday")
        text = installation.run("recovery", "retry", "1").stdout
        assert "bids_conversion is held, and starts nothing before `neuroflow pipeline resume bids_conversion`" in text
        assert "new image on Monday" in text
        assert "held" not in installation.run("recovery", "retry", "4").stdout

    def test_all_of_them_need_a_filter_or_a_yes(self, installation: Installation) -> None:
        assert "would run every failed run again" in installation.run("recovery", "retry-all", code=2).stderr
        assert len(installation.run("recovery", "retry-all", "--yes").stdout.splitlines()) == 4
        assert "nothing waits for a person" in installation.run("recovery", "retry-all", "--yes").stdout

    @pytest.mark.parametrize(
        ("filters", "runs"),
        [
            (["--signature", DWI], {1, 2}),
            (["--pipeline", "qsirecon"], {4}),
            (["--failure", "application"], {1, 2, 3}),
            (["--failure", "application", "--signature", MASK], {3}),
            (["--failure", "site"], set()),
        ],
    )
    def test_filters(self, installation: Installation, filters: list[str], runs: set[int]) -> None:
        installation.run("recovery", "retry-all", *filters)
        with installation.state() as state:
            assert {run.id for run in state.list_runs() if run.superseded} == runs


class TestResolve:
    def test_a_reason_is_required(self, installation: Installation) -> None:
        assert "--reason" in installation.run("recovery", "resolve", "1", code=2).stderr
        assert "needs a reason" in installation.run("recovery", "resolve", "1", "--reason", " ", code=2).stderr

    def test_a_resolved_run_stays_failed_and_is_shown_no_more(self, installation: Installation) -> None:
        assert "run 1 (bids_conversion of sub-01/ses-a) is resolved" in (
            installation.run("recovery", "resolve", "1", "3", "--reason", "no diffusion scan").stdout
        )
        listed = installation.run("recovery", "list").stdout
        assert "sub-01/ses-a" not in listed
        assert MASK not in listed
        failed = installation.json("status", "--failed")["runs"]
        assert sorted(item["run"] for item in failed) == [2, 4]
        assert installation.json("runs", "show", "1")["run"]["status"] == "failed"
        assert "no diffusion scan" in installation.run("runs", "show", "1").stdout
        error = installation.run("recovery", "retry", "1", code=2).stderr
        assert "it was resolved: no diffusion scan" in error
        installation.run("runs", "retry", "1")  # a person may change her mind

    def test_an_open_run_is_none(self, installation: Installation) -> None:
        with installation.state() as state:
            open_run(state, add_session(state, "09"))
        assert "it is pending" in installation.run("recovery", "resolve", "5", "--reason", "r", code=2).stderr


class TestStats:
    def test_per_pipeline_and_class(self, installation: Installation) -> None:
        installation.run("recovery", "resolve", "1", "--reason", "r")
        assert installation.json("recovery", "stats")["failures"] == [
            {"pipeline": "bids_conversion", "failure": "application", "attempts": 3, "runs": 3, "dead_letters": 2},
            {"pipeline": "qsirecon", "failure": "no_output", "attempts": 1, "runs": 1, "dead_letters": 1},
        ]
        assert "bids_conversion  application  3" in installation.run("recovery", "stats").stdout

    def test_of_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "new").mkdir()
        bare = Installation(tmp_path / "new")
        bare.make_database()
        assert "nothing has failed" in bare.run("recovery", "stats").stdout
