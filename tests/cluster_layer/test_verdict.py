"""The table of verdicts: what each combination of witnesses means."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from neuroflow.cluster.accounting_query import parse_sacct
from neuroflow.cluster.verdict import judge
from neuroflow.domain import (
    AccountingRow,
    AttemptRecord,
    AttemptStatus,
    ExitRecord,
    FailureClass,
    JobState,
    QueueRow,
    Resources,
    Sighting,
    Verdict,
    VerdictKind,
)
from tests.cluster_layer.builders import NOW, attempt, exit_record
from tests.cluster_layer.recordings import recorded

GRACE = 120.0


def sighting(
    *,
    queue: JobState | None = None,
    accounting: JobState | None = None,
    record: ExitRecord | None = None,
    queue_answered: bool = True,
    accounting_answered: bool = True,
    signal: int | None = None,
    rss: float | None = None,
    elapsed: int | None = 60,
    ended_ago: float | None = 600,
    accounting_silent: bool = False,
    started: bool = False,
    lives: int = 1,
    over_memory: str = "",
) -> Sighting:
    row = None if queue is None else QueueRow("17", "nf-1", queue, queue.value.upper(), reason="Priority")
    ended_at = None if ended_ago is None else NOW.timestamp() - ended_ago
    account = None
    if accounting is not None:
        word = accounting.value.upper()
        account = AccountingRow("17", "nf-1", accounting, word, 0, signal, rss, elapsed, "n1", ended_at)
        account = replace(account, started_at=ended_at if started else None, lives=lives)
    return Sighting(
        queue_answered, accounting_answered, row, account, record, accounting_silent, over_memory=over_memory
    )


def verdict(seen: Sighting, one: AttemptRecord | None = None) -> Verdict:
    return judge(one or attempt(), seen, now=NOW, grace_seconds=GRACE)


@pytest.mark.parametrize("accounting", [None, *JobState])
@pytest.mark.parametrize("queue", [None, JobState.RUNNING, JobState.ENDING, JobState.COMPLETED])
def test_published_results_are_a_success_whatever_slurm_says(
    queue: JobState | None, accounting: JobState | None
) -> None:
    found = verdict(sighting(queue=queue, accounting=accounting, record=exit_record()))
    assert (found.kind, found.failure, found.exit_code) == (VerdictKind.SUCCEEDED, None, 0)
    if accounting in (JobState.OUT_OF_MEMORY, JobState.TIMEOUT):
        assert f"although SLURM says {accounting.value.upper()}" in found.reason


def test_a_success_says_whose_results_it_published() -> None:
    found = verdict(sighting(record=exit_record(results_of="nf-0")))
    assert found.kind is VerdictKind.SUCCEEDED
    assert "those of nf-0, whose publication was interrupted" in found.reason


def test_success_needs_no_answer_of_slurm() -> None:
    seen = sighting(record=exit_record(), queue_answered=False, accounting_answered=False)
    assert verdict(seen).kind is VerdictKind.SUCCEEDED


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        (JobState.PENDING, VerdictKind.PENDING),
        (JobState.REQUEUED, VerdictKind.PENDING),
        (JobState.RUNNING, VerdictKind.RUNNING),
        (JobState.SUSPENDED, VerdictKind.RUNNING),
        (JobState.ENDING, VerdictKind.RUNNING),
    ],
)
@pytest.mark.parametrize("record", [None, exit_record(exit_code=143, signal=15, published=False, stopped_by="SIGTERM")])
def test_a_job_that_squeue_lists_is_not_over(state: JobState, kind: VerdictKind, record: ExitRecord | None) -> None:
    # The record is that of the life before the job was requeued.
    assert verdict(sighting(queue=state, accounting=JobState.PREEMPTED, record=record)).kind is kind


def test_the_reason_for_waiting_is_told() -> None:
    assert verdict(sighting(queue=JobState.PENDING)).reason == "SLURM: PENDING (Priority)"


@pytest.mark.parametrize("status", [AttemptStatus.SUBMITTED, AttemptStatus.RUNNING])
def test_an_unknown_word_keeps_the_attempt_as_it_was(status: AttemptStatus) -> None:
    found = verdict(sighting(queue=JobState.UNRECOGNISED), attempt(status=status))
    assert found.kind is (VerdictKind.RUNNING if status is AttemptStatus.RUNNING else VerdictKind.PENDING)


def test_a_job_stuck_in_completing_is_judged_by_its_record_after_the_grace() -> None:
    failed = exit_record(exit_code=1, published=False, ended_ago=GRACE + 1)
    assert verdict(sighting(queue=JobState.ENDING, record=failed)).kind is VerdictKind.FAILED


ENDED = [
    (JobState.OUT_OF_MEMORY, FailureClass.OUT_OF_MEMORY),
    (JobState.TIMEOUT, FailureClass.TIMEOUT),
    (JobState.NODE_FAIL, FailureClass.NODE),
    (JobState.PREEMPTED, FailureClass.PREEMPTED),
    (JobState.CANCELLED, FailureClass.CANCELLED),
]


@pytest.mark.parametrize(("state", "failure"), ENDED)
@pytest.mark.parametrize("source", ["accounting", "queue"])
def test_slurms_word_explains_a_failed_record(state: JobState, failure: FailureClass, source: str) -> None:
    record = exit_record(exit_code=137, signal=9, published=False)
    seen = sighting(record=record, queue=state, accounting_answered=False)
    if source == "accounting":
        seen = sighting(record=record, queue=JobState.FAILED, accounting=state)
    found = verdict(seen)
    assert (found.kind, found.failure, found.exit_code, found.signal) == (VerdictKind.FAILED, failure, 137, 9)


@pytest.mark.parametrize(
    ("changes", "failure"),
    [
        ({"exit_code": 0, "missing_outputs": ("*.nii.gz (0 of at least 1 files)",)}, FailureClass.NO_OUTPUT),
        ({"exit_code": 0, "crash_files": ("log/crash-1.txt",)}, FailureClass.APPLICATION),
        ({"exit_code": 0, "error": "OSError: [Errno 28] No space left on device"}, FailureClass.APPLICATION),
        ({"exit_code": 1, "bad_input": "ValueError: no dwi"}, FailureClass.BAD_INPUT),
        ({"exit_code": 1}, FailureClass.APPLICATION),
        ({"exit_code": 255, "stderr_tail": "boom"}, FailureClass.APPLICATION),
        ({"exit_code": 255, "stderr_tail": "x\nFATAL:   could not open image /a.sif\n"}, FailureClass.SITE),
        ({"exit_code": 125, "stderr_tail": "docker: Error response from daemon"}, FailureClass.SITE),
        ({"exit_code": 127, "error": "'apptainer' can't be started: No such file"}, FailureClass.SITE),
        ({"exit_code": 127, "stderr_tail": "sh: foo: not found"}, FailureClass.APPLICATION),
        ({"exit_code": 127, "stderr_tail": "neuroflow: 1: exec: /opt/tool: not found\n"}, FailureClass.SITE),
        ({"exit_code": 126, "stderr_tail": "neuroflow: line 1: /opt/tool: Permission denied\n"}, FailureClass.SITE),
        ({"exit_code": 1, "stderr_tail": "ERROR: a valid license file is required"}, FailureClass.SITE),
        ({"exit_code": 137, "signal": 9, "max_rss_mb": 950.0}, FailureClass.OUT_OF_MEMORY),
        ({"exit_code": 137, "signal": 9, "max_rss_mb": 949.0}, FailureClass.APPLICATION),
        ({"exit_code": 1, "oom_kills": 1}, FailureClass.OUT_OF_MEMORY),
        ({"exit_code": 0, "oom_kills": 1, "error": "not trusted"}, FailureClass.OUT_OF_MEMORY),
        ({"exit_code": 140, "signal": 12, "stopped_by": "SIGUSR2"}, FailureClass.TIMEOUT),
        ({"exit_code": 143, "signal": 15, "stopped_by": "TIME_LIMIT"}, FailureClass.TIMEOUT),
        ({"exit_code": 143, "signal": 15, "stopped_by": "SIGTERM"}, FailureClass.CANCELLED),
        ({"exit_code": None, "error": "KeyError: 'command'"}, FailureClass.APPLICATION),
        ({"exit_code": 0, "stopped_by": "SIGUSR2", "error": "not trusted"}, FailureClass.TIMEOUT),
    ],
)
def test_a_record_explains_itself_where_slurm_only_says_failed(changes: dict[str, Any], failure: FailureClass) -> None:
    record = exit_record(**{"published": False, **changes})
    found = verdict(sighting(accounting=JobState.FAILED, record=record))
    assert (found.kind, found.failure) == (VerdictKind.FAILED, failure)


def test_sigterm_that_slurm_knows_nothing_of_is_the_nodes_fault() -> None:
    """A controller that crashed has forgotten the job, and slurmd ends what it can't account for."""
    record = exit_record(exit_code=143, signal=15, stopped_by="SIGTERM", published=False, ended_ago=9999)
    found = verdict(sighting(record=record), attempt(**LONG_AGO))
    assert (found.kind, found.failure) == (VerdictKind.FAILED, FailureClass.NODE)
    assert verdict(sighting(record=record), attempt(**LONG_AGO, where="local")).failure is FailureClass.CANCELLED


def test_sigterm_at_the_end_of_the_requested_time_is_a_time_out() -> None:
    record = exit_record(exit_code=143, signal=15, stopped_by="SIGTERM", published=False, lasted=600)
    assert verdict(sighting(accounting=JobState.FAILED, record=record)).failure is FailureClass.TIMEOUT


def test_the_largest_measured_memory_decides() -> None:
    record = exit_record(exit_code=137, signal=9, published=False, max_rss_mb=10.0)
    found = verdict(sighting(accounting=JobState.FAILED, record=record, rss=990.0))
    assert (found.failure, found.max_rss_mb) == (FailureClass.OUT_OF_MEMORY, 990.0)


def test_a_failed_record_waits_for_slurms_word_within_the_grace_only() -> None:
    young = exit_record(exit_code=1, published=False, ended_ago=GRACE - 1)
    old = exit_record(exit_code=1, published=False, ended_ago=GRACE)
    assert verdict(sighting(record=young)).kind is VerdictKind.RUNNING
    assert verdict(sighting(record=young, accounting=JobState.RUNNING, ended_ago=None)).kind is VerdictKind.RUNNING
    assert verdict(sighting(record=old, accounting_answered=False)).failure is FailureClass.APPLICATION


def test_squeues_final_word_waits_for_the_better_one_of_sacct() -> None:
    young = exit_record(exit_code=1, published=False, ended_ago=GRACE - 1)
    assert verdict(sighting(record=young, queue=JobState.FAILED)).kind is VerdictKind.RUNNING
    assert verdict(sighting(record=young, queue=JobState.FAILED, accounting_answered=False)).kind is VerdictKind.FAILED


def test_a_clock_that_runs_ahead_does_not_keep_an_attempt_open() -> None:
    ahead = exit_record(exit_code=1, published=False, ended_ago=-9999)
    one = attempt(last_seen_at=NOW - timedelta(seconds=GRACE))
    assert verdict(sighting(record=ahead), one).kind is VerdictKind.FAILED


@pytest.mark.parametrize(("state", "failure"), [*ENDED, (JobState.COMPLETED, FailureClass.NODE)])
def test_without_a_record_slurms_word_counts_after_the_grace(state: JobState, failure: FailureClass) -> None:
    assert verdict(sighting(accounting=state, ended_ago=GRACE - 1)).kind is VerdictKind.PENDING
    found = verdict(sighting(accounting=state, ended_ago=GRACE))
    assert (found.kind, found.failure) == (VerdictKind.FAILED, failure)


def test_a_job_cancelled_before_it_started_needs_no_grace() -> None:
    found = verdict(sighting(accounting=JobState.CANCELLED, elapsed=0, ended_ago=1))
    assert found.failure is FailureClass.CANCELLED


def test_a_job_that_failed_within_its_first_second_may_still_leave_a_record() -> None:
    young = sighting(accounting=JobState.FAILED, elapsed=0, started=True, ended_ago=GRACE - 1)
    assert verdict(young).kind is VerdictKind.PENDING


def test_what_was_revoked_and_is_not_listed_is_cancelled() -> None:
    assert verdict(replace(sighting(), revoked=True)).failure is FailureClass.CANCELLED
    assert verdict(replace(sighting(queue=JobState.PENDING), revoked=True)).kind is VerdictKind.PENDING
    assert verdict(replace(sighting(queue_answered=False), revoked=True)).kind is VerdictKind.PENDING


# --- sites without accounting, and sacct away ---


def without_accounting(**changes: Any) -> Sighting:
    return sighting(**{"accounting_answered": False, **changes})


def sacct_away(**changes: Any) -> Sighting:
    return sighting(**{"accounting_answered": False, "accounting_silent": True, **changes})


LONG_AGO = {"last_seen_at": NOW - timedelta(seconds=GRACE)}


def test_without_accounting_squeue_and_records_decide_and_the_words_say_so() -> None:
    failed = exit_record(exit_code=1, published=False, ended_ago=GRACE)
    assert verdict(without_accounting(record=exit_record())).kind is VerdictKind.SUCCEEDED
    assert verdict(without_accounting(record=failed)).failure is FailureClass.APPLICATION
    assert verdict(without_accounting(queue=JobState.TIMEOUT, record=failed)).failure is FailureClass.TIMEOUT
    assert verdict(without_accounting(queue=JobState.NODE_FAIL), attempt(**LONG_AGO)).failure is FailureClass.NODE
    found = verdict(without_accounting(), attempt(**LONG_AGO))
    assert found.kind is VerdictKind.UNKNOWN
    assert found.reason.startswith("squeue does not list it, and this site has no accounting")


@pytest.mark.parametrize("record", [None, exit_record(exit_code=143, signal=15, stopped_by="SIGTERM", published=False)])
def test_while_sacct_is_away_a_job_that_squeue_has_forgotten_is_not_judged(record: ExitRecord | None) -> None:
    record = record and replace(record, ended_at=NOW.timestamp() - 9999)
    found = verdict(sacct_away(record=record), attempt(**LONG_AGO))
    assert found.kind in (VerdictKind.RUNNING, VerdictKind.UNKNOWN)
    assert (found.failure, found.seen) == (None, False)
    assert "sacct did not answer" in found.reason


def test_while_sacct_is_away_squeues_final_word_and_a_record_are_enough() -> None:
    record = exit_record(exit_code=143, signal=15, stopped_by="SIGTERM", published=False, ended_ago=GRACE)
    assert verdict(sacct_away(queue=JobState.PREEMPTED, record=record)).failure is FailureClass.PREEMPTED
    young = replace(record, ended_at=NOW.timestamp() - GRACE + 1)
    assert verdict(sacct_away(queue=JobState.PREEMPTED, record=young)).kind is VerdictKind.RUNNING


def test_while_sacct_is_away_failed_without_a_record_may_yet_be_out_of_memory() -> None:
    found = verdict(sacct_away(queue=JobState.FAILED), attempt(**LONG_AGO))
    assert (found.kind, found.failure) == (VerdictKind.UNKNOWN, None)
    assert verdict(sacct_away(queue=JobState.TIMEOUT), attempt(**LONG_AGO)).failure is FailureClass.TIMEOUT


def test_the_record_of_an_earlier_life_does_not_explain_a_later_one() -> None:
    record = exit_record(exit_code=143, signal=15, stopped_by="SIGTERM", published=False, ended_ago=9999)
    seen = sighting(accounting=JobState.FAILED, record=record, lives=2)
    assert verdict(seen).failure is FailureClass.NODE
    seen = sighting(accounting=JobState.FAILED, record=replace(record, restart_count=1), lives=2)
    assert verdict(seen).failure is FailureClass.CANCELLED
    seen = sighting(accounting=JobState.NODE_FAIL, record=replace(record, published=True, exit_code=0), lives=2)
    assert verdict(seen).kind is VerdictKind.SUCCEEDED


def test_killed_at_its_memory_without_a_record_is_out_of_memory() -> None:
    assert verdict(sighting(accounting=JobState.FAILED, signal=9, rss=1100)).failure is FailureClass.OUT_OF_MEMORY
    assert verdict(sighting(accounting=JobState.FAILED, signal=9, rss=100)).failure is FailureClass.NODE


# --- sites without cgroups, where SLURM itself kills a job above its request: it is FAILED ---

OVER = "StepId=17.0 exceeded memory limit (363941888 > 209715200), being killed"
KILLED = [
    exit_record(exit_code=137, signal=9, published=False),
    exit_record(exit_code=137, signal=9, published=False, max_rss_mb=None),
    exit_record(exit_code=143, signal=15, stopped_by="SIGTERM", published=False),  # else taken for a person's scancel
    exit_record(exit_code=1, published=False, stderr_tail="MemoryError"),
]


@pytest.mark.parametrize("job_id", ["2", "4"])
@pytest.mark.parametrize("record", [None, KILLED[0], KILLED[1]])
def test_accounting_alone_shows_that_a_job_was_killed_over_its_memory(job_id: str, record: ExitRecord | None) -> None:
    (row,) = (row for row in parse_sacct(recorded("sacct_over_memory.txt")) if row.job_id == job_id)
    small = attempt(job_id=job_id, resources=Resources(cpus=1, memory_mb=200, time_minutes=10))
    record = record and replace(record, job_id=job_id)
    # The row is of another day than the others.
    row = replace(row, started_at=NOW.timestamp() - 602, ended_at=NOW.timestamp() - 600)
    found = verdict(Sighting(True, True, accounting=row, exit_record=record), small)
    assert (found.kind, found.failure) == (VerdictKind.FAILED, FailureClass.OUT_OF_MEMORY)
    assert found.max_rss_mb == row.max_rss_mb
    assert "MiB of 200 MiB requested" in found.reason


@pytest.mark.parametrize("record", [None, *KILLED])
@pytest.mark.parametrize("rss", [None, 100])  # a job that lasts a moment is not measured, or before its memory grew
def test_the_step_daemons_words_are_enough_to_know_of_the_memory(record: ExitRecord | None, rss: float | None) -> None:
    found = verdict(sighting(accounting=JobState.FAILED, record=record, rss=rss, over_memory=OVER))
    assert (found.kind, found.failure) == (VerdictKind.FAILED, FailureClass.OUT_OF_MEMORY)
    assert found.reason == f"SLURM ended it above the 1000 MiB requested: {OVER}"


@pytest.mark.parametrize("record", [None, replace(KILLED[0], ended_at=NOW.timestamp() - GRACE)])
def test_the_step_daemons_words_are_enough_where_there_is_no_accounting(record: ExitRecord | None) -> None:
    seen = without_accounting(queue=JobState.FAILED, record=record, over_memory=OVER)
    assert verdict(seen, attempt(**LONG_AGO)).failure is FailureClass.OUT_OF_MEMORY


def test_bad_input_is_bad_input_whatever_the_memory() -> None:
    record = exit_record(exit_code=137, signal=9, published=False, bad_input="no dwi")
    seen = sighting(accounting=JobState.FAILED, record=record, over_memory=OVER)
    assert verdict(seen).failure is FailureClass.BAD_INPUT


def test_a_folder_that_is_gone_is_told_without_the_tool() -> None:
    line = "error: the session's folder is not there: /dicom/sub-01/ses-a"
    found = verdict(sighting(accounting=JobState.FAILED, record=exit_record(exit_code=5, bad_input=line)))
    assert (found.failure, found.reason) == (FailureClass.BAD_INPUT, line.removeprefix("error: "))


@pytest.mark.parametrize("accounting", [None, JobState.RUNNING, JobState.UNRECOGNISED])
def test_a_job_that_nobody_knows_is_unknown_after_the_grace_and_never_a_failure(accounting: JobState | None) -> None:
    seen = sighting(accounting=accounting, ended_ago=None)
    found = verdict(seen, attempt(last_seen_at=NOW - timedelta(seconds=GRACE - 1)))
    assert (found.kind, found.seen) == (VerdictKind.PENDING, False)
    found = verdict(seen, attempt(last_seen_at=NOW - timedelta(seconds=GRACE)))
    assert (found.kind, found.failure, found.seen) == (VerdictKind.UNKNOWN, None, False)


@pytest.mark.parametrize("accounting", [None, *JobState])
@pytest.mark.parametrize("record", [None, exit_record(exit_code=1, published=False, ended_ago=9999)])
def test_a_silent_squeue_pushes_nothing_anywhere(accounting: JobState | None, record: ExitRecord | None) -> None:
    seen = sighting(accounting=accounting, record=record, queue_answered=False)
    long_ago = attempt(last_seen_at=NOW - timedelta(days=9), status=AttemptStatus.RUNNING)
    assert verdict(seen, long_ago).kind is VerdictKind.RUNNING


def test_a_final_verdict_says_where_and_when() -> None:
    found = verdict(sighting(accounting=JobState.FAILED, record=exit_record(exit_code=2, published=False)))
    assert (found.host, found.job_id, found.job_word) == ("n1", "17", "FAILED")
    assert found.started_at == NOW - timedelta(seconds=70)
    assert found.ended_at == NOW - timedelta(seconds=10)


def test_exactly_these_combinations_end_an_attempt() -> None:
    """Walk all combinations: nothing but success, final words and records may end one."""
    for queue in (None, *JobState):
        for accounting in (None, *JobState):
            for record in (None, exit_record(), exit_record(exit_code=1, published=False, ended_ago=999)):
                found = verdict(sighting(queue=queue, accounting=accounting, record=record))
                assert (found.kind is VerdictKind.FAILED) == (found.failure is not None)
                if record is not None and record.published:
                    assert found.kind is VerdictKind.SUCCEEDED


@pytest.mark.parametrize("reason", ["launch failed requeued held", "launch_failed_requeued_held"])
def test_a_job_that_slurm_holds_because_it_could_not_be_launched_is_the_nodes_fault(reason: str) -> None:
    row = QueueRow("17", "nf-1", JobState.PENDING, "PENDING", reason=reason)
    found = verdict(Sighting(True, False, queue=row))
    assert (found.kind, found.failure) == (VerdictKind.FAILED, FailureClass.NODE)


@pytest.mark.parametrize("reason", ["JobHeldAdmin", "JobHeldUser", "job requeued in held state", "BeginTime"])
def test_a_job_that_a_person_holds_waits(reason: str) -> None:
    row = QueueRow("17", "nf-1", JobState.PENDING, "PENDING", reason=reason)
    assert verdict(Sighting(True, False, queue=row)).kind is VerdictKind.PENDING
