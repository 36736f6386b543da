"""SLURM's words and tables are understood as recorded, and garbage never raises."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from neuroflow.cluster.accounting_query import parse_exit_code, parse_sacct, parse_size, sacct_command
from neuroflow.cluster.queue_query import parse_squeue, squeue_command
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
        ("SUSPENDED", JobState.SUSPENDED),
        ("CONFIGURING", JobState.PENDING),
        ("RESV_DEL_HOLD", JobState.PENDING),
        ("SPECIAL_EXIT", JobState.REQUEUED),
        ("REQUEUED", JobState.REQUEUED),
        ("LAUNCH_FAILED", JobState.REQUEUED),
        ("running", JobState.RUNNING),
        ("RE+", JobState.UNRECOGNISED),
        ("", JobState.UNRECOGNISED),
        ("TELEPORTED", JobState.UNRECOGNISED),
    ],
)
def test_words_become_states(text: str, state: JobState) -> None:
    assert job_state(text) is state


def test_squeue_is_asked_once_for_all_jobs_of_a_user() -> None:
    command = squeue_command("lab")
    assert command[2:9] == ("squeue", "-h", "-r", "-t", "all", "-u", "lab")


def test_a_recorded_squeue_table_is_read() -> None:
    text = (
        "12\x1fPENDING\x1fPriority\x1f2026-03-01T10:00:00+0100\x1fN/A\x1flab\x1fnormal\x1fnf-a\n"
        "13\x1fRUNNING\x1fNone\x1fN/A\x1f2026-03-01T11:00:00+0100\x1flab\x1fnormal\x1fname with | and \x1f inside\n"
        "14_3\x1fCOMPLETING\x1fNone\x1f2026-03-01T09:00:00+0100\x1f2026-03-01T11:00:00+0100\x1flab\x1fnormal\x1fother\n"
        "15\x1fTIMEOUT\x1fTimeLimit\x1f2026-03-01T09:00:00+0100\x1f2026-03-01T11:00:00+0100\x1flab\x1fnormal\x1fnf-c\n"
    )
    first, second, third, fourth = parse_squeue(text)
    assert (first.job_id, first.token, first.state, first.reason) == ("12", "nf-a", JobState.PENDING, "Priority")
    assert (second.token, second.reason, second.start) == ("name with | and \x1f inside", "", "")
    assert (third.job_id, third.state, third.ended_at) == ("14_3", JobState.ENDING, None)
    assert fourth.ended_at == datetime(2026, 3, 1, 10, tzinfo=UTC).timestamp()


def job(
    job_id: str,
    word: str,
    *,
    exit_text: str = "0:0",
    size: str = "",
    elapsed: str = "60",
    submit: str = "1795502000",
    start: str = "1795502000",
    end: str = "1795502060",
    nodes: str = "n1",
    cpu: str = "",
    name: str = "nf-a",
) -> str:
    return "\x1f".join((job_id, word, exit_text, size, elapsed, submit, start, end, nodes, cpu, name)) + "\n"


def test_the_steps_memory_is_folded_into_the_job() -> None:
    text = (
        job("7", "OUT_OF_MEMORY", exit_text="0:125", elapsed="61", end="1795502010")
        + job("7.batch", "OUT_OF_MEMORY", exit_text="0:125", size="168544K", name="batch")
        + job("7.0", "FAILED", exit_text="1:0", size="1.5G", name="python")
        + job("8", "RUNNING", elapsed="5", end="Unknown", nodes="None assigned", name="nf-b")
    )
    first, second = parse_sacct(text)
    assert (first.job_id, first.token, first.state) == ("7", "nf-a", JobState.OUT_OF_MEMORY)
    assert (first.exit_code, first.signal, first.max_rss_mb) == (0, 125, 1536.0)
    assert (first.elapsed_seconds, first.ended_at, first.nodes) == (61, 1795502010, "n1")
    assert (second.max_rss_mb, second.ended_at, second.nodes) == (None, None, "")


def test_a_step_that_was_out_of_memory_explains_the_failed_job() -> None:
    text = (
        job("7", "FAILED", exit_text="1:0")
        + job("7.0", "OUT_OF_MEMORY", exit_text="0:125", name="python")
        + job("8", "TIMEOUT", name="nf-b")
        + job("8.0", "OUT_OF_ME+", exit_text="0:125", name="python")
    )
    assert [row.state for row in parse_sacct(text)] == [JobState.OUT_OF_MEMORY, JobState.TIMEOUT]


@pytest.mark.parametrize("older", ["PREEMPTED", "REQUEUED", "NODE_FAIL"])
@pytest.mark.parametrize("newer", ["PENDING", "RUNNING", "COMPLETED"])
@pytest.mark.parametrize("backwards", [False, True])
def test_an_earlier_life_never_speaks_for_a_later_one(older: str, newer: str, backwards: bool) -> None:
    start = "Unknown" if newer == "PENDING" else "1795503120"
    lives = [
        job("7", older) + job("7.0", "CANCELLED", size="900M", name="python"),
        job("7", newer, submit="1795503000", start=start) + job("7.0", newer, size="20M", name="python"),
    ]
    (row,) = parse_sacct("".join(reversed(lives) if backwards else lives))
    assert (row.word, row.lives, row.max_rss_mb) == (newer, 2, 20.0)


def test_a_life_that_waits_is_later_than_one_that_started_in_the_same_second() -> None:
    (row,) = parse_sacct(job("7", "PENDING", start="Unknown") + job("7", "PREEMPTED"))
    assert (row.state, row.lives) == (JobState.PENDING, 2)


def test_a_job_id_that_was_given_out_again_is_another_job() -> None:
    rows = parse_sacct(job("7", "COMPLETED", name="old") + job("7", "FAILED", submit="1895502000"))
    assert [(row.token, row.word, row.lives) for row in rows] == [("old", "COMPLETED", 1), ("nf-a", "FAILED", 1)]


def test_an_elements_own_row_is_younger_than_that_of_the_range() -> None:
    waiting = job("69_[2-3]", "PENDING", start="Unknown", end="Unknown")
    rows = parse_sacct(job("69_2", "RUNNING") + waiting)
    assert [(row.job_id, row.word, row.lives) for row in rows] == [("69_2", "RUNNING", 1), ("69_3", "PENDING", 1)]


@pytest.mark.parametrize(
    ("text", "expected"), [("0:9", (0, 9)), ("127:0", (127, None)), ("3", (None, None)), ("a:b", (None, None))]
)
def test_exit_codes(text: str, expected: tuple[int | None, int | None]) -> None:
    assert parse_exit_code(text) == expected


@pytest.mark.parametrize(
    ("text", "mib"), [("2048K", 2.0), ("164.59M", 164.59), ("1G", 1024.0), ("", None), ("x", None)]
)
def test_sizes(text: str, mib: float | None) -> None:
    assert parse_size(text) == mib


SINCE = datetime(2026, 3, 2, 8, tzinfo=UTC)
WINDOW = ("-u", "lab", "-S", "2026-03-01T08:00:00", "-E", "now+365days")


def asked(ids: Sequence[str] = (), names: Sequence[str] = ()) -> tuple[str, ...]:
    command = sacct_command(ids=ids, names=names, user="lab", since=SINCE)
    return command[command.index("-o") + 2 :]


def test_jobs_are_asked_for_by_id_and_elements_by_their_array() -> None:
    assert asked(["605_1", "605_2", "7"]) == ("-j", "605,7")


def test_many_jobs_are_asked_for_by_a_window_of_time() -> None:
    assert asked([str(number) for number in range(200)])[0] == "-j"
    assert asked([str(number) for number in range(201)]) == WINDOW


def test_a_thousand_elements_of_one_array_are_no_long_list() -> None:
    assert asked([f"605_{index}" for index in range(1000)]) == ("-j", "605")


def test_names_alone_are_asked_for_by_name_from_a_day_before_the_attempt() -> None:
    assert asked(names=["b", "a"]) == (*WINDOW, "--name", "a,b")


def test_ids_and_names_share_one_window() -> None:
    assert asked(["7"], ["a"]) == WINDOW
    assert asked(names=[f"nf-{number}" for number in range(201)]) == WINDOW
