"""Each way in which a real job ends gets its failure class, its next act, and the words for both in the audit log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from neuroflow.cluster.records import read_exit_record
from neuroflow.domain import AttemptStatus, FailureClass, RunStatus
from neuroflow.orchestrator.attempt_job import JobBuilder
from tests.orchestrator.endings import DELAY_MINUTES, MEMORY_MB, Cohort, Ending
from tests.support.slurm import Slurm

pytestmark = [pytest.mark.slow, pytest.mark.slurm]


@pytest.fixture(scope="module")
def endings(tmp_path_factory: pytest.TempPathFactory, slurm: Slurm) -> Iterator[dict[str, Ending]]:
    """What became of all runs, by the label of the session."""
    cohort = Cohort(tmp_path_factory.mktemp("endings"), slurm)
    try:
        cohort.start()
        cohort.carry_on()
        yield {label: member.ending() for label, member in cohort.members.items()}
    finally:
        cohort.end()


def check_failed(ending: Ending, failure: FailureClass, *, counted: bool) -> None:
    """Check how the first attempt ended."""
    first = ending.attempts[0]
    assert (first.status, first.failure, first.counted) == (AttemptStatus.FAILED, failure, counted)


def check_second_succeeded(ending: Ending, *, counted: int) -> None:
    """Check that the second attempt was the last, and how many of the two counted."""
    assert [attempt.status for attempt in ending.attempts] == [AttemptStatus.FAILED, AttemptStatus.SUCCEEDED]
    assert (ending.run.status, ending.run.attempts, ending.executions) == (RunStatus.COMPLETED, counted, 2)


def check_lived_twice(ending: Ending) -> None:
    """Check that one attempt's job was executed twice, and only its second life has published."""
    (attempt,) = ending.attempts
    assert (attempt.status, attempt.failure) == (AttemptStatus.SUCCEEDED, None)
    assert (ending.run.status, ending.run.attempts, ending.executions) == (RunStatus.COMPLETED, 1, 2)
    assert ending.reasons(RunStatus.RETRY_WAIT) == []
    statuses = [after for after, _ in ending.moves]
    assert statuses[statuses.index("running") + 1] == "submitted", "its second life may be over before it is seen"
    assert ending.reasons(RunStatus.SUBMITTED)[-1].startswith("the job was requeued and waits again; SLURM: PENDING")
    record = read_exit_record(attempt.folder, token=attempt.token)
    assert record is not None
    assert (record.published, record.restart_count, record.job_id) == (True, 1, attempt.job_id)
    assert [
        path for path in Path(attempt.folder).glob("exit-before-*") if '"published": true' in path.read_text()
    ] == []
    published = ending.services.config.paths.derivatives_root / "qsirecon" / ending.run.scope
    assert [path.name for path in published.iterdir()] == ["result.txt"]


def test_out_of_memory_gets_half_as_much_again(endings: dict[str, Ending]) -> None:
    ending = endings["outofmemory"]
    check_failed(ending, FailureClass.OUT_OF_MEMORY, counted=True)
    # Without cgroups more than the request may have been measured before SLURM ended it.
    request = ending.attempts[1].resources.memory_mb
    assert request == -(-max(MEMORY_MB, ending.attempts[0].max_rss_mb or 0) * 3 // 2)
    words = f"out_of_memory: again with {request} MiB instead of {MEMORY_MB}"
    assert ending.reasons(RunStatus.RETRY_WAIT) == [words]
    check_second_succeeded(ending, counted=2)


def test_a_time_out_gets_half_as_much_again_and_its_work_directory(endings: dict[str, Ending]) -> None:
    ending = endings["timeout"]
    check_failed(ending, FailureClass.TIMEOUT, counted=True)
    assert [attempt.resources.time_minutes for attempt in ending.attempts] == [1, 2]
    assert ending.reasons(RunStatus.RETRY_WAIT) == ["timeout: again with 2 min instead of 1"]
    # Without the first attempt's work directory the second one would have run into its limit as well.
    check_second_succeeded(ending, counted=2)


def test_a_requeued_job_goes_on_as_the_same_attempt(endings: dict[str, Ending]) -> None:
    check_lived_twice(endings["requeued"])


def test_a_preempted_job_that_slurm_requeues_goes_on_as_the_same_attempt(endings: dict[str, Ending]) -> None:
    check_lived_twice(endings["preempted"])


def test_a_job_that_preemption_ends_is_submitted_again_and_not_counted(endings: dict[str, Ending]) -> None:
    ending = endings["preemptedforgood"]
    check_failed(ending, FailureClass.PREEMPTED, counted=False)
    (words,) = ending.reasons(RunStatus.RETRY_WAIT)
    assert words.startswith("preempted: same request again, not counted: ")
    assert ending.attempts[0].resources == ending.attempts[1].resources
    check_second_succeeded(ending, counted=1)


def test_the_next_attempt_after_a_lost_node_is_kept_away_from_it(endings: dict[str, Ending], slurm: Slurm) -> None:
    ending = endings["node"]
    check_failed(ending, FailureClass.NODE, counted=False)
    assert (ending.run.status, ending.run.attempts) == (RunStatus.RETRY_WAIT, 0)
    node = slurm.node_to_fail
    (words,) = ending.reasons(RunStatus.RETRY_WAIT)
    assert words.startswith(f"node: same request again (it failed on {node}), not counted: ")
    job = JobBuilder(ending.services).build(ending.run, token="nf-next")
    assert (job.exclude_nodes, job.resources) == ((node,), ending.attempts[0].resources)


@pytest.mark.parametrize(
    ("label", "failure", "evidence"),
    [
        ("application", FailureClass.APPLICATION, "exit code 1: the model did not converge"),
        (
            "nooutput",
            FailureClass.NO_OUTPUT,
            "exit code 0, but declared outputs are missing: sub-01/ses-nooutput/result.txt (0 of at least 1 files)",
        ),
    ],
)
def test_a_failing_tool_is_tried_again_after_a_while_and_then_given_up(
    endings: dict[str, Ending], label: str, failure: FailureClass, evidence: str
) -> None:
    ending = endings[label]
    assert [(attempt.failure, attempt.counted) for attempt in ending.attempts] == [(failure, True)] * 2
    again = f"{failure}: attempt 1 of 2 failed, again in {DELAY_MINUTES:g} min: {evidence}"
    assert ending.reasons(RunStatus.RETRY_WAIT) == [again]
    assert ending.reasons(RunStatus.FAILED) == [f"{failure}: given up after 2 of 2 attempts: {evidence}"]
    assert (ending.run.status, ending.run.failure, ending.executions) == (RunStatus.FAILED, failure, 2)


def test_bad_input_is_not_tried_again(endings: dict[str, Ending]) -> None:
    ending = endings["badinput"]
    check_failed(ending, FailureClass.BAD_INPUT, counted=True)
    line = "One or more participant labels were not found in the BIDS directory: 01"
    words = f"bad input, a person has to look: the tool refused its input: {line}"
    assert ending.reasons(RunStatus.FAILED) == [words]
    assert (ending.run.status, ending.executions) == (RunStatus.FAILED, 1)


@pytest.mark.parametrize(
    ("label", "executions", "evidence"),
    [
        ("cancelledpending", 0, "it ended as CANCELLED by "),
        ("cancelledrunning", 1, "SLURM says CANCELLED (exit code 143)"),
    ],
)
def test_a_job_that_a_person_cancels_stays_cancelled(
    endings: dict[str, Ending], label: str, executions: int, evidence: str
) -> None:
    ending = endings[label]
    (attempt,) = ending.attempts
    assert (attempt.status, attempt.failure) == (AttemptStatus.CANCELLED, FailureClass.CANCELLED)
    assert (attempt.counted, ending.executions) == (False, executions)
    assert ending.run.status is RunStatus.CANCELLED
    (words,) = ending.reasons(RunStatus.CANCELLED)
    assert words.startswith(f"cancelled: {evidence}")
