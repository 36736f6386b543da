"""The table of verdicts: what each combination of witnesses means."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from neuroflow.cluster.verdict import judge
from neuroflow.domain import (
    AccountingRow,
    AttemptRecord,
    AttemptStatus,
    ExitRecord,
    FailureClass,
    JobState,
    QueueRow,
    Sighting,
    Verdict,
    VerdictKind,
)
from tests.cluster_layer.builders import NOW, attempt, exit_record

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
) -> Sighting:
    row = None if queue is None else QueueRow("17", "nf-1", queue, queue.value.upper(), reason="Priority")
    ended_at = None if ended_ago is None else NOW.timestamp() - ended_ago
    account = None
    if accounting is not None:
        word = accounting.value.upper()
        account = AccountingRow("17", "nf-1", accounting, word, 0, signal, rss, elapsed, "n1", ended_at)
        account = replace(account, started_at=ended_at if started else None, lives=lives)
    return Sighting(queue_answered, accounting_answered, row, account, record, accounting_silent)


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
        ({"exit_code": 1, "stderr_tail": "ERROR: a valid license file is required"}, FailureClass.SITE),
        ({"exit_code": 137, "signal": 9, "max_rss_mb": 950.0}, FailureClass.OUT_OF_MEMORY),
        ({"exit_code": 137, "signal": 9, "max_rss_mb": 949.0}, FailureClass.APPLICATION),
        ({"exit_code": 1, "oom_kills": 1}, FailureClass.OUT_OF_MEMORY),
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
