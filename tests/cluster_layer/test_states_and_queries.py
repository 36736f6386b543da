"""SLURM's words and tables are understood as recorded, and garbage never raises."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from neuroflow.cluster import query
from neuroflow.cluster.states import STATE_OF_WORD, job_state
from neuroflow.domain import JobState

# Every word of SLURM's job_state_codes page, base states first, then flags.
ALL_WORDS = (
    "BOOT_FAIL CANCELLED COMPLETED DEADLINE FAILED NODE_FAIL OUT_OF_MEMORY PENDING PREEMPTED RUNNING SUSPENDED TIMEOUT "
    "COMPLETING CONFIGURING EXPEDITING LAUNCH_FAILED POWER_UP_NODE RECONFIG_FAIL REQUEUED REQUEUE_FED REQUEUE_HOLD "
    "RESIZING RESV_DEL_HOLD REVOKED SIGNALING SPECIAL_EXIT STAGE_OUT STOPPED UPDATE_DB"
)


def test_the_table_holds_every_word_of_slurm() -> None:
    assert set(STATE_OF_WORD) == set(ALL_WORDS.split())


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("CANCELLED by 1000", JobState.CANCELLED),
        ("OUT_OF_ME+", JobState.OUT_OF_MEMORY),
        ("CANCELLED+", JobState.CANCELLED),
        ("NODE_FAIL", JobState.NODE_FAIL),
        ("COMPLETING", JobState.ENDING),
        ("running", JobState.RUNNING),
        ("RE+", JobState.UNRECOGNISED),
        ("", JobState.UNRECOGNISED),
        ("TELEPORTED", JobState.UNRECOGNISED),
    ],
)
def test_words_become_states(text: str, state: JobState) -> None:
    assert job_state(text) is state


def test_squeue_is_asked_once_for_all_jobs_of_a_user() -> None:
    command = query.squeue_command("lab")
    assert command[2:9] == ("squeue", "-h", "-r", "-t", "all", "-u", "lab")


def test_a_recorded_squeue_table_is_read() -> None:
    text = (
        "12\x1fPENDING\x1fPriority\x1f2026-03-01T10:00:00+0100\x1fN/A\x1fnf-a\n"
        "13\x1fRUNNING\x1fNone\x1fN/A\x1f2026-03-01T11:00:00+0100\x1fname with | and \x1f inside\n"
        "14_3\x1fCOMPLETING\x1fNone\x1f2026-03-01T09:00:00+0100\x1f2026-03-01T11:00:00+0100\x1fother\n"
        "15\x1fTIMEOUT\x1fTimeLimit\x1f2026-03-01T09:00:00+0100\x1f2026-03-01T11:00:00+0100\x1fnf-c\n"
    )
    first, second, third, fourth = query.parse_squeue(text)
    assert (first.job_id, first.token, first.state, first.reason) == ("12", "nf-a", JobState.PENDING, "Priority")
    assert (second.token, second.reason, second.start) == ("name with | and \x1f inside", "", "")
    assert (third.job_id, third.state, third.ended_at) == ("14_3", JobState.ENDING, None)
    assert fourth.ended_at == datetime(2026, 3, 1, 10, tzinfo=UTC).timestamp()


def _line(*fields: str) -> str:
    return "\x1f".join(fields) + "\n"


def test_the_steps_memory_is_folded_into_the_job() -> None:
    text = (
        _line("7", "7", "OUT_OF_MEMORY", "0:125", "", "61", "1795502010", "n1", "nf-a")
        + _line("7.batch", "7.batch", "OUT_OF_MEMORY", "0:125", "168544K", "61", "1795502010", "n1", "batch")
        + _line("7.0", "7.0", "FAILED", "1:0", "1.5G", "60", "1795502010", "n1", "python")
        + _line("8", "8", "RUNNING", "0:0", "", "5", "Unknown", "None assigned", "nf-b")
    )
    first, second = query.parse_sacct(text)
    assert (first.job_id, first.token, first.state) == ("7", "nf-a", JobState.OUT_OF_MEMORY)
    assert (first.exit_code, first.signal, first.max_rss_mb) == (0, 125, 1536.0)
    assert (first.elapsed_seconds, first.ended_at, first.nodes) == (61, 1795502010, "n1")
    assert (second.max_rss_mb, second.ended_at, second.nodes) == (None, None, "")


def test_a_step_that_was_out_of_memory_explains_the_failed_job() -> None:
    text = (
        _line("7", "7", "FAILED", "1:0", "", "61", "1795502010", "n1", "nf-a")
        + _line("7.0", "7.0", "OUT_OF_MEMORY", "0:125", "", "60", "1795502010", "n1", "python")
        + _line("8", "8", "TIMEOUT", "0:0", "", "61", "1795502010", "n1", "nf-b")
        + _line("8.0", "8.0", "OUT_OF_ME+", "0:125", "", "60", "1795502010", "n1", "python")
    )
    assert [row.state for row in query.parse_sacct(text)] == [JobState.OUT_OF_MEMORY, JobState.TIMEOUT]


def test_array_rows_keep_their_index() -> None:
    rows = query.parse_sacct(
        _line("70", "69_2", "COMPLETED", "0:0", "", "1", "5", "n1", "a")
        + _line("69", "69_[3-9%2]", "PENDING", "0:0", "", "0", "Unknown", "", "a")
    )
    assert [row.job_id for row in rows] == ["69_2", "69"]


def test_garbage_never_raises() -> None:
    source = random.Random(1)  # noqa: S311
    alphabet = "0123456789\x1f\n:.KMG_[]%- ²é\x00" + "PENDINGFAILED"
    for _ in range(300):
        text = "".join(source.choice(alphabet) for _ in range(source.randrange(400)))
        query.parse_squeue(text)
        query.parse_sacct(text)
    query.parse_sacct(_line("7", "7", "", "x:y", "12Q", "9" * 5000, "²", "", ""))


@pytest.mark.parametrize(
    ("text", "expected"), [("0:9", (0, 9)), ("127:0", (127, None)), ("3", (None, None)), ("a:b", (None, None))]
)
def test_exit_codes(text: str, expected: tuple[int | None, int | None]) -> None:
    assert query.parse_exit_code(text) == expected


@pytest.mark.parametrize(
    ("text", "mib"), [("2048K", 2.0), ("164.59M", 164.59), ("1G", 1024.0), ("", None), ("x", None)]
)
def test_sizes(text: str, mib: float | None) -> None:
    assert query.parse_size(text) == mib


def test_long_lists_are_asked_for_in_chunks() -> None:
    commands = list(query.sacct_commands(str(number) for number in range(1, 1201)))
    assert [len(command[-1].split(",")) for command in commands] == [500, 500, 200]


def test_a_search_by_name_begins_before_the_attempt() -> None:
    since = datetime(2026, 3, 2, 8, tzinfo=UTC)
    (command,) = query.sacct_name_commands(["b", "a", "b"], user="lab", since=since)
    assert command[command.index("-S") + 1] == "2026-03-01T08:00:00"
    assert command[-2:] == ("--name", "a,b")
