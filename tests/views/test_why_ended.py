"""What `why` says of runs that have ended, with the evidence in their folders."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

import pytest

from neuroflow.cluster.container_record import container_record
from neuroflow.cluster.job import SCHEMA
from neuroflow.domain import (
    AttemptRecord,
    ContainerRun,
    ExitRecord,
    FailureClass,
    RetryDecision,
    RunStatus,
    Verdict,
    VerdictKind,
)
from tests.views.cohort import FAILED, NOW, SIGNATURE, Cohort

LOG = "\n".join(
    [
        "loading the gradients",
        *(f"volume {number} of 60" for number in range(60)),
        "Traceback (most recent call last):",
        '  File "eddy.py", line 12, in run',
        "RuntimeError: \x1b[31meddy: only 4 volumes are usable\x1b[0m",
        "cleaning up",
    ]
)
CRASH = "Node: sub_01_wf.eddy\nTraceback (most recent call last):\nRuntimeError: eddy: only 4 volumes are usable\n"


def leave(attempt: AttemptRecord, *, stderr: str = "", crash_files: tuple[str, ...] = ()) -> Path:
    """Write what a job leaves in its folder; return where its crash files are looked for."""
    folder = Path(attempt.folder)
    output = folder.parent / f"out-{attempt.token}"
    folder.mkdir()
    output.mkdir()
    if stderr:
        (folder / "stderr.log").write_text(stderr)
    record = ExitRecord(attempt.token, "47", 1, None, "n1", 1.0, 2.0, stderr[-100:], None, crash_files=crash_files)
    (folder / "exit.json").write_text(json.dumps({"schema": SCHEMA, **asdict(record)}))
    run = ContainerRun(
        pipeline=attempt.pipeline,
        runtime="host",
        image=None,
        version=None,
        program=(),
        arguments=(),
        binds=(),
        environment={},
        output_dir=str(output),
        work_dir="",
        publish_dir="/data/bids",
        owned=(attempt.scope,),
        outputs=(),
    )
    (folder / "container.json").write_bytes(container_record(run))
    return output


class TestFailures:
    def test_the_class_and_the_telling_lines_around_the_error(self, cohort: Cohort) -> None:
        cohort.session()
        leave(cohort.fail(cohort.open_only()), stderr=LOG)
        answer = cohort.place()
        assert answer.state == "failed"
        assert answer.summary == "failed at 2026-03-01 12:00 UTC: the tool itself failed: exit code 1: boom"
        assert answer.failure is not None
        assert answer.failure.log.endswith("/stderr.log")
        assert answer.failure.lines[-2:] == ("RuntimeError: eddy: only 4 volumes are usable", "cleaning up")
        assert "Traceback (most recent call last):" in answer.failure.lines
        assert len(answer.failure.lines) == 8
        assert answer.next.needs_person
        assert answer.next.commands == ("neuroflow logs 1 --stderr", 'neuroflow runs retry 1 --reason "..."')

    def test_crash_files_with_their_error(self, cohort: Cohort) -> None:
        cohort.session()
        names = ("log/crash-1.txt", "log/crash-2.pklz", "log/crash-3.txt")
        output = leave(cohort.fail(cohort.open_only()), crash_files=names)
        (output / "log").mkdir()
        (output / "log" / "crash-1.txt").write_text(CRASH)
        (output / "log" / "crash-2.pklz").write_bytes(b"\x80\x04")
        failure = cohort.place().failure
        assert failure is not None
        assert [Path(file.path).name for file in failure.crash_files] == ["crash-1.txt", "crash-2.pklz", "crash-3.txt"]
        assert [file.lines[-1:] for file in failure.crash_files] == [
            ("RuntimeError: eddy: only 4 volumes are usable",), (), (),
        ]  # fmt: skip

    def test_a_folder_that_is_gone_is_named(self, cohort: Cohort) -> None:
        cohort.session()
        attempt = cohort.fail(cohort.open_only())
        failure = cohort.place().failure
        assert failure is not None
        assert attempt.folder in failure.note
        assert failure.lines == ()

    def test_a_full_disk_is_recognised(self, cohort: Cohort) -> None:
        cohort.session()
        leave(cohort.fail(cohort.open_only()), stderr="OSError: [Errno 122] Disk quota exceeded: '/out/x'\n")
        failure = cohort.place().failure
        assert failure is not None
        assert failure.note == "the disk, or the quota, is full: make room, then have it run again"

    def test_others_that_failed_alike_are_counted(self, cohort: Cohort) -> None:
        for subject in ("01", "02", "03"):
            cohort.session(subject)
            cohort.fail(cohort.open_only())
        failure = cohort.place().failure
        assert failure is not None
        assert (failure.signature, failure.alike) == (SIGNATURE, 2)

    def test_the_attempts_with_what_was_changed(self, cohort: Cohort) -> None:
        cohort.session()
        run = cohort.open_only()
        memory = Verdict(VerdictKind.FAILED, "killed at 4000 MiB", failure=FailureClass.OUT_OF_MEMORY, host="n1")
        cohort.fail_once(run, minutes=0, verdict=memory)
        cohort.fail(run, memory_mb=6000)
        first, second = cohort.place().attempts
        assert (first.failure, first.changed) == (FailureClass.OUT_OF_MEMORY, "")
        assert (second.failure, second.changed) == (FailureClass.APPLICATION, "6000 MiB instead of 4000")

    def test_one_that_was_settled_needs_nobody(self, cohort: Cohort) -> None:
        cohort.session()
        run = cohort.open_only()
        cohort.fail(run)
        assert cohort.state.resolve_run(run.id, resolution="phantom scan", actor="anna")
        following = cohort.place().next
        assert (following.needs_person, following.text) == (False, "nothing: a person settled it (phantom scan)")

    @pytest.mark.parametrize(
        ("failure", "words", "command"),
        [
            (FailureClass.OUT_OF_MEMORY, "pipelines.bids_conversion.memory_mb", "neuroflow runs retry 1"),
            (FailureClass.TIMEOUT, "pipelines.bids_conversion.time_minutes", "neuroflow runs retry 1"),
            (FailureClass.SITE, "the site's set-up", "neuroflow doctor"),
            (FailureClass.BAD_INPUT, "mend its files", "neuroflow session show 01 a"),
            (FailureClass.NO_OUTPUT, "look at its log", "neuroflow logs 1 --stderr"),
        ],
    )
    def test_each_class_has_its_way_out(self, cohort: Cohort, failure: FailureClass, words: str, command: str) -> None:
        cohort.session()
        cohort.fail(cohort.open_only(), verdict=replace(FAILED, failure=failure))
        following = cohort.place().next
        assert words in following.text
        assert following.commands[0].startswith(command)

    def test_a_job_that_the_site_refused_has_no_log(self, cohort: Cohort) -> None:
        cohort.session()
        attempt = cohort.claim(cohort.open_only())
        decision = RetryDecision(RunStatus.FAILED, "the site refused the job: no such account", counted=False)
        cohort.state.record_submission_failed(
            attempt.id, reason="no such account", decision=decision, failure=FailureClass.SITE
        )
        failure = cohort.place().failure
        assert failure is not None
        assert failure.note == "no job of it ever existed, and so no log"


class TestOtherEndings:
    def test_completed_with_its_results(self, cohort: Cohort) -> None:
        cohort.session()
        run = cohort.open_only()
        attempt = cohort.start(run)
        leave(attempt)
        cohort.now += timedelta(hours=3, minutes=12)
        done = Verdict(VerdictKind.SUCCEEDED, "done", exit_code=0)
        cohort.state.record_verdict(attempt.id, done, None, None)
        cohort.state.update_pipeline_run(run.id, output_path="/data/bids")
        cohort.polled()
        answer = cohort.place()
        assert answer.summary == "completed at 2026-03-01 15:12 UTC, after 3 h 12 min"
        assert answer.results == ("/data/bids/sub-01/ses-a",)
        assert not answer.next.needs_person

    def test_cancelled_stays_so_until_a_person_asks(self, cohort: Cohort) -> None:
        cohort.session()
        run = cohort.open_only()
        cohort.state.cancel_run(run.id, reason="wrong scanner", actor="anna")
        answer = cohort.place()
        assert (answer.state, answer.next.commands) == ("cancelled", ('neuroflow runs retry 1 --reason "..."',))
        assert "wrong scanner" in answer.summary

    def test_asked_for_again_with_the_former_results(self, cohort: Cohort) -> None:
        session = cohort.session()
        run = cohort.open_only()
        cohort.complete(run)
        cohort.state.mark_session_for_rerun(session.id, "new image", pipeline="bids_conversion")
        answer = cohort.place()
        assert (answer.state, answer.former_results) == ("due", run.id)
        assert f"run {run.id} is to be run again" in answer.summary
        again = cohort.open_only()
        assert (cohort.place().run, cohort.place().former_results) == (again.id, run.id)

    def test_a_run_that_is_asked_for_by_number_and_was_replaced(self, cohort: Cohort) -> None:
        session = cohort.session()
        old = cohort.open_only()
        cohort.complete(old)
        cohort.state.mark_session_for_rerun(session.id, "new image", pipeline="bids_conversion")
        new = cohort.open_only()
        notes = cohort.ask(run=cohort.state.get_run(old.id)).notes
        assert notes == (
            f"run {old.id} (bids_conversion of sub-01/ses-a) is completed, and is to be run again; "
            f"run {new.id} took its place; its results stay until the new ones are there",
        )

    def test_a_run_that_was_withdrawn(self, cohort: Cohort) -> None:
        cohort.session()
        run = cohort.open_only()
        cohort.state.move_run(
            run.id, expected={RunStatus.PENDING}, to=RunStatus.CANCELLED, reason="withdrawn: new files", superseded=True
        )
        assert "was withdrawn before it started" in cohort.ask(run=cohort.state.get_run(run.id)).notes[0]
        assert cohort.place().state == "due"


class TestUpstream:
    def test_the_root_is_told_however_far_up_it_is(self, cohort: Cohort) -> None:
        session = cohort.session()
        cohort.fail(cohort.open_only())
        answer = {one.pipeline: one for one in cohort.ask().pipelines}["qsiparc"]
        assert answer.state == "blocked"
        for part in ("without qsirecon of sub-01/ses-a", "without qsiprep of sub-01", "which failed (run 1)"):
            assert part in answer.summary
        assert "boom" not in answer.summary, "it stands with the conversion, a few lines above"
        assert "boom" in answer.causes[0].text
        assert answer.next.text.endswith("has brought on bids_conversion of sub-01/ses-a")
        assert answer.next.commands == ("neuroflow logs 1 --stderr", 'neuroflow runs retry 1 --reason "..."')
        assert cohort.ask(session=session).pipelines[-1] == answer

    def test_one_that_goes_on_is_waited_for(self, cohort: Cohort) -> None:
        cohort.session()
        cohort.session(label="b")
        first, second = cohort.open_due()
        cohort.complete(first)
        cohort.start(second)
        answer = cohort.place("qsiprep", "sub-01")
        assert answer.state == "waiting"
        assert answer.summary == f"waits for bids_conversion of sub-01/ses-b, which runs (run {second.id})"

    def test_files_that_still_arrive_hold_up_the_subject(self, cohort: Cohort) -> None:
        cohort.session()
        cohort.complete(cohort.open_only())
        cohort.session(label="b", settle_minutes=60)
        summary = cohort.place("qsiprep", "sub-01").summary
        assert "waits for bids_conversion of sub-01/ses-b, of which the session is settling" in summary

    def test_a_session_that_came_too_late_for_its_subjects_run(self, cohort: Cohort) -> None:
        cohort.session()
        cohort.session(label="b")
        first, second = cohort.open_due()
        cohort.complete(first)
        cohort.fail(second)
        cohort.complete(cohort.open_due()[0])
        left_out = cohort.state.find_session("01", "b")
        answer = cohort.ask(session=left_out)
        places = {one.pipeline: one for one in answer.pipelines}
        assert places["qsiprep"].covers == ("sub-01/ses-a",)
        assert "sub-01/ses-b is no part of run 3 (qsiprep of sub-01), which covers sub-01/ses-a" in answer.notes
        assert places["qsirecon"].state == "blocked"
        assert "it needs bids_conversion of sub-01/ses-b, which failed (run 2)" in places["qsirecon"].summary

    def test_a_disabled_pipeline_has_nothing_to_do(self, cohort: Cohort) -> None:
        cohort.session()
        cohort.configure(enabled=False)
        assert cohort.place().summary == "nothing to do: bids_conversion is disabled"


class TestSessions:
    def test_an_excluded_one_with_who_did_it(self, cohort: Cohort) -> None:
        session = cohort.session()
        cohort.complete(cohort.open_only())
        cohort.state.set_session_excluded(session.id, True, reason="moved too much", actor="anna")
        answer = cohort.ask()
        assert answer.sessions[0].next is not None
        assert answer.sessions[0].next.commands == ("neuroflow session include 01 a",)
        assert answer.pipelines[0].summary == (
            "nothing to do: the session is excluded: moved too much (by anna, at 2026-03-01 13:00 UTC)"
        )
        assert answer.pipelines[0].former_results == 1

    def test_an_invalid_one_with_what_is_missing(self, cohort: Cohort) -> None:
        cohort.session(missing=("no series is called dwi",))
        answer = cohort.ask()
        assert (answer.sessions[0].reason, answer.pipelines[0].state) == ("no series is called dwi", "nothing")
        assert answer.sessions[0].next is not None
        assert "neuroflow session show 01 a" in answer.sessions[0].next.commands

    @pytest.mark.parametrize("missing", [(), ("no series is called dwi",)])
    def test_nothing_is_expected_downstream_of_one_that_is_out(self, cohort: Cohort, missing: tuple[str, ...]) -> None:
        session = cohort.session()
        cohort.complete(cohort.open_only())
        cohort.complete(cohort.open_only())
        if missing:
            cohort.session(missing=missing, files=3)
        else:
            cohort.state.set_session_excluded(session.id, True, reason="moved too much", actor="anna")
        status = "invalid" if missing else "excluded"
        answer = {one.pipeline: one for one in cohort.ask().pipelines}
        assert answer["qsiprep"].summary == f"nothing to do: sub-01/ses-a is {status}"
        assert (answer["qsiprep"].state, answer["qsiprep"].former_results) == ("nothing", 2)
        assert not answer["qsiprep"].next.needs_person
        assert answer["qsirecon"].state == "nothing"

    def test_one_that_is_out_holds_up_nobody_beside_one_that_failed(self, cohort: Cohort) -> None:
        out = cohort.session(label="b")
        cohort.state.set_session_excluded(out.id, True, reason="moved too much", actor="anna")
        cohort.session()
        cohort.fail(cohort.open_only())
        answer = cohort.place("qsiprep", "sub-01")
        assert answer.state == "blocked"
        assert answer.next.text == "nothing, until a person has brought on bids_conversion of sub-01/ses-a"

    def test_a_folder_that_is_gone_is_told_where_it_is_needed(self, cohort: Cohort) -> None:
        cohort.session()
        cohort.folder_of().rmdir()
        assert cohort.ask().sessions[0].folder_is_gone
        assert cohort.place().summary.startswith(f"its folder is not there: {cohort.folder_of()}, and its run is about")
        cohort.fail(cohort.open_only(), verdict=replace(FAILED, failure=FailureClass.BAD_INPUT))
        answer = cohort.place()
        assert answer.summary.startswith(f"its folder is not there: {cohort.folder_of()}; failed")
        assert "put its folder back" in answer.next.text

    def test_an_archived_folder_takes_nothing_from_what_is_done(self, cohort: Cohort) -> None:
        cohort.session()
        cohort.complete(cohort.open_only())
        cohort.folder_of().rmdir()
        answer = cohort.ask()
        assert answer.sessions[0].folder_is_gone
        assert answer.sessions[0].next is None
        assert answer.pipelines[0].summary.startswith("completed at")

    def test_how_many_files_it_has_now_and_had(self, cohort: Cohort) -> None:
        cohort.session(files=336)
        cohort.complete(cohort.open_only())
        cohort.session(files=166)
        answer = cohort.place()
        assert answer.state == "due"
        assert "its inputs changed since run 1: 166 files, were 336" in answer.summary

    def test_what_a_scan_could_not_read_matters_until_it_is_converted(self, cohort: Cohort) -> None:
        cohort.session(problems=("not a DICOM file: LICENSE",))
        assert cohort.ask().sessions[0].problems_matter
        cohort.complete(cohort.open_only())
        assert not cohort.ask().sessions[0].problems_matter

    def test_another_subject_is_not_read(self, cohort: Cohort) -> None:
        cohort.session("01")
        cohort.session("02")
        cohort.open_due()
        assert {one.scope for one in cohort.ask("02").pipelines} == {"sub-02", "sub-02/ses-a"}
        assert cohort.ask("02").at == NOW
