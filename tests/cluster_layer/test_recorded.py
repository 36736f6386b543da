"""What a real squeue and sacct answered is read as it was meant.

The files in `recorded` come from SLURM 22.05; those named `*_by_hand*` are written from documentation and from
reports of what can't be provoked on a test cluster.
"""

from __future__ import annotations

import pytest

from neuroflow.cluster.accounting_query import parse_sacct
from neuroflow.cluster.queue_query import is_listed, parse_squeue
from neuroflow.domain import AccountingRow, JobState
from tests.cluster_layer.recordings import recorded


def accounted(name: str) -> dict[str, AccountingRow]:
    rows = parse_sacct(recorded(f"sacct_{name}.txt"))
    assert len({row.job_id for row in rows}) == len(rows)
    return {row.job_id: row for row in rows}


def words(name: str) -> dict[str, str]:
    return {job_id: row.word for job_id, row in accounted(name).items()}


def test_plain_jobs() -> None:
    rows = accounted("plain")
    assert {job_id: (row.token, row.word, row.exit_code, row.signal) for job_id, row in rows.items()} == {
        "1": ("nf-plain", "COMPLETED", 0, None),
        "2": ("nf-failed", "FAILED", 3, None),
        "3": ("nf-255", "FAILED", 127, None),  # sacct prints 255 - 128
        "4": ("nf|bar|x y", "COMPLETED", 0, None),
        "5": ("nf-stepfail", "COMPLETED", 0, None),  # a step failed, the script ended with 0
    }
    assert rows["1"].max_rss_mb == 10780 / 1024
    assert (rows["1"].elapsed_seconds, rows["1"].nodes, rows["1"].lives) == (3, "n1", 1)
    assert rows["1"].ended_at == 1795611423


def test_a_step_out_of_memory() -> None:
    assert accounted("out_of_memory")["6"].state is JobState.OUT_OF_MEMORY


def test_a_job_over_its_memory_without_cgroups_only_says_failed() -> None:
    """Job 2's step was killed, srun ended with 137 and sacct subtracts 128; of job 4 the batch script itself."""
    rows = accounted("over_memory")
    assert {job_id: (row.word, row.exit_code, row.signal) for job_id, row in rows.items()} == {
        "2": ("FAILED", 9, None),
        "4": ("FAILED", 0, 9),
    }
    assert [row.max_rss_mb for row in rows.values()] == [355412 / 1024, 426112 / 1024]


def test_a_time_out() -> None:
    row = accounted("timeout")["7"]
    assert (row.state, row.exit_code, row.elapsed_seconds) == (JobState.TIMEOUT, 0, 87)


def test_cancelled_while_waiting_and_while_running() -> None:
    waiting, running = accounted("cancelled")["9"], accounted("cancelled")["10"]
    assert (waiting.state, waiting.word, waiting.started_at) == (JobState.CANCELLED, "CANCELLED by 0", None)
    assert (waiting.elapsed_seconds, waiting.nodes) == (0, "")
    assert (running.state, running.elapsed_seconds, running.started_at) == (JobState.CANCELLED, 12, 1795611420)


LONG_LIST = (1, 3, 6, 8, 11, 14, 17, 20, 24, 29, 33, 38, 41, 45, 52, 58, 61, 67, 73, 79, 85)


def test_arrays_that_wait() -> None:
    rows = accounted("array_pending")
    assert {row.state for row in rows.values()} == {JobState.PENDING}
    assert set(rows) == {
        *(f"11_{index}" for index in range(10)),
        *(f"12_{index}" for index in range(1, 42, 2)),
        *("13_1", "13_3", "13_5", "13_6", "13_7", "13_11"),
        # SLURM has cut the list within 92: what follows is not reported.
        *(f"14_{index}" for index in LONG_LIST),
    }


def test_arrays_cancelled_while_they_waited() -> None:
    rows = accounted("array_cancelled")
    assert set(rows) == {"15_2", "15_3", "15_4", *(f"16_{index}" for index in LONG_LIST)}
    assert {(row.state, row.started_at) for row in rows.values()} == {(JobState.CANCELLED, None)}


def test_an_element_that_was_cancelled_alone_while_it_waited_is_not_reported_at_all() -> None:
    # `scancel 291_1` came first, `scancel 291` later; squeue forgot 291_1 at once.
    assert set(accounted("array_element_cancelled")) == {"291_0", "291_2", "291_3"}


def test_an_array_that_is_half_done() -> None:
    assert words("array_half_done") == {
        "17_0": "COMPLETED",
        "17_1": "COMPLETED",
        "17_2": "FAILED",
        "17_3": "RUNNING",
        "17_4": "RUNNING",
        **{f"17_{index}": "PENDING" for index in range(5, 10)},
    }


def test_requeued_jobs_wait_in_their_second_life() -> None:
    rows = accounted("requeued_waiting")
    assert {job_id: (row.word, row.lives) for job_id, row in rows.items()} == {
        "18": ("PENDING", 2),
        "19_0": ("RUNNING", 1),
        "19_1": ("PENDING", 2),
        "20": ("PENDING", 2),  # requeued, and held
    }
    assert rows["18"].max_rss_mb is None


def test_requeued_jobs_that_have_ended_tell_of_their_last_life() -> None:
    rows = accounted("requeued_done")
    assert {job_id: (row.word, row.lives) for job_id, row in rows.items()} == {
        "18": ("COMPLETED", 2),
        "19_0": ("COMPLETED", 1),
        "19_1": ("COMPLETED", 2),
    }
    assert rows["18"].max_rss_mb == 33012 / 1024  # 91348K in the first


def test_a_preempted_job_waits_and_then_completes() -> None:
    assert [(row.word, row.lives) for row in accounted("preempted_waiting").values()] == [("PENDING", 2)]
    assert [(row.word, row.lives) for row in accounted("preempted_done").values()] == [("COMPLETED", 2)]


def test_squeue_of_plain_jobs() -> None:
    rows = {row.job_id: row for row in parse_squeue(recorded("squeue_plain.txt"))}
    assert {job_id: row.word for job_id, row in rows.items()} == {
        "1": "COMPLETED",
        "2": "FAILED",
        "4": "COMPLETED",
        "6": "FAILED",  # sacct's steps say OUT_OF_MEMORY
        "7": "RUNNING",
        "8": "PENDING",
        "9": "CANCELLED",
        "10": "CANCELLED",
        "28": "RUNNING",
    }
    assert (rows["4"].token, rows["8"].reason, rows["2"].reason) == ("nf|bar|x y", "BeginTime", "NonZeroExitCode")
    assert (rows["1"].ended_at, rows["7"].ended_at) == (1795611423, None)
    assert {job_id for job_id, row in rows.items() if is_listed(row)} == {"7", "8", "28"}


def test_squeue_of_arrays_has_a_row_per_element() -> None:
    rows = {row.job_id: row.word for row in parse_squeue(recorded("squeue_arrays.txt"))}
    assert rows["15_2"] == rows["15_3"] == rows["15_4"] == "CANCELLED"
    assert {rows[f"11_{index}"] for index in range(10)} == {"PENDING"}
    assert (rows["17_2"], rows["17_3"], rows["17_9"]) == ("FAILED", "RUNNING", "PENDING")


def test_squeue_lists_requeued_and_preempted_jobs_as_waiting() -> None:
    rows = {row.job_id: (row.word, row.reason) for row in parse_squeue(recorded("squeue_requeued.txt"))}
    assert rows == {
        "18": ("PENDING", "BeginTime"),
        "19_0": ("RUNNING", ""),
        "19_1": ("PENDING", "BeginTime"),
        "20": ("PENDING", "job requeued in held state"),
        "27": ("PENDING", "BeginTime"),
    }


@pytest.mark.parametrize(
    ("job_id", "state"),
    [
        ("100", JobState.SUSPENDED),
        ("101", JobState.PENDING),
        ("102", JobState.PENDING),
        ("103", JobState.REQUEUED),
        ("104", JobState.REQUEUED),
        ("105", JobState.REQUEUED),
        ("106", JobState.ENDING),
        ("107", JobState.UNRECOGNISED),
    ],
)
def test_odd_words_of_squeue_keep_a_job_among_the_living(job_id: str, state: JobState) -> None:
    (row,) = [row for row in parse_squeue(recorded("squeue_odd_words_by_hand.txt")) if row.job_id == job_id]
    assert (row.state, is_listed(row)) == (state, True)


def test_odd_rows_of_sacct() -> None:
    rows = accounted("odd_by_hand")
    assert {job_id: (row.state, row.lives) for job_id, row in rows.items()} == {
        "200": (JobState.COMPLETED, 2),  # its first life ended with the node
        "201": (JobState.NODE_FAIL, 1),
        "202": (JobState.CANCELLED, 1),  # DEADLINE
        "203": (JobState.OUT_OF_MEMORY, 1),
        "204": (JobState.UNRECOGNISED, 1),
        "205": (JobState.REQUEUED, 1),  # slurmdbd has not heard of the second life yet
    }
    assert rows["203"].max_rss_mb == 1.5 * 1024


def test_what_is_no_answer_has_no_rows() -> None:
    banner = "Welcome to the cluster!\nsacct: error: slurm_persist_conn_open_without_init: failed to open\n"
    assert (parse_sacct(banner), parse_squeue(banner)) == ((), ())
