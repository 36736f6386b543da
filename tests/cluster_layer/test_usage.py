"""What a tool uses is measured over all of its processes, and what several witnesses measured becomes one figure."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from neuroflow.cluster.accounting_query import parse_cpu_time, parse_sacct
from neuroflow.cluster.usage import Meter, of_descendants
from neuroflow.cluster.verdict import judge
from neuroflow.domain import AccountingRow, JobState, QueueRow, Sighting, Verdict
from tests.cluster_layer.builders import NOW, attempt, exit_record
from tests.cluster_layer.recordings import recorded

SIZE_MIB = 40
# Three processes that hold so much each, at one time, until their standard input is closed.
THREE = f"""
import os, sys
for _ in range(2):
    if os.fork() == 0:
        break
held = bytearray(b"x" * {SIZE_MIB} * 1024**2)
os.write(1, b".")
sys.stdin.read()
"""


@pytest.fixture
def three() -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", THREE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    assert process.stdout is not None
    for _ in range(3):
        assert process.stdout.read(1) == b"."
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    process.communicate()


def test_the_memory_of_all_processes_counts_at_one_time(three: subprocess.Popen[bytes]) -> None:
    now = of_descendants(os.getpid())
    end(three)
    assert now.max_rss_mb > 3 * SIZE_MIB
    assert of_descendants(os.getpid()).max_rss_mb < now.max_rss_mb - 2 * SIZE_MIB


def test_a_meter_keeps_the_most_that_it_has_seen(three: subprocess.Popen[bytes]) -> None:
    seen = threading.Event()

    class Told(Meter):
        def _look(self) -> None:
            super()._look()
            seen.set()

    with Told(every_seconds=0.01) as meter:
        assert seen.wait(30)
        end(three)
    assert meter.usage().max_rss_mb > 3 * SIZE_MIB
    assert meter.usage().cpu_seconds > 0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("00:12.490", 12.49),
        ("03:04", 184),
        ("01:02:03", 3723),
        ("2-01:02:03", 176523),
        ("00:00:00", 0),
        ("", 0),
        ("INVALID", 0),
        ("١٢:١٢", 0),
    ],
)
def test_a_cpu_time_is_read(text: str, seconds: float) -> None:
    assert parse_cpu_time(text) == seconds


def test_what_sacct_says_of_jobs_whose_use_is_known() -> None:
    """Of three processes with 4 s of CPU time and 200 MiB each, and of two that were killed at the time limit."""
    done, killed = parse_sacct(recorded("sacct_usage.txt"))
    assert (done.cpu_seconds, done.max_rss_mb) == (12.49, pytest.approx(643.6, abs=0.1))
    assert (killed.state, killed.cpu_seconds, killed.elapsed_seconds) == (JobState.TIMEOUT, 19.107, 62)


def test_a_time_of_nothing_is_not_known() -> None:
    assert all(row.cpu_seconds is None for row in parse_sacct(recorded("sacct_plain.txt")))


def accounted(**changes: object) -> AccountingRow:
    values: dict[str, object] = {
        "job_id": "17",
        "token": "nf-1",
        "state": JobState.COMPLETED,
        "word": "COMPLETED",
        "exit_code": 0,
        "signal": None,
        "max_rss_mb": 300.0,
        "elapsed_seconds": 75,
        "cpu_seconds": 90.0,
    }
    return AccountingRow(**(values | changes))  # type: ignore[arg-type]


def verdict(*, record: object = None, row: AccountingRow | None = None, queue: QueueRow | None = None) -> Verdict:
    sighting = Sighting(
        queue_answered=True,
        accounting_answered=row is not None,
        queue=queue,
        accounting=row,
        exit_record=record,  # type: ignore[arg-type]
    )
    return judge(attempt(), sighting, now=NOW, grace_seconds=0)


def test_the_larger_of_two_measurements_counts() -> None:
    found = verdict(record=exit_record(lasted=60, cpu_seconds=110.0), row=accounted())
    assert (found.max_rss_mb, found.cpu_seconds, found.elapsed_seconds) == (300.0, 110.0, 75)


def test_accounting_alone_tells_of_a_job_that_left_no_record() -> None:
    found = verdict(row=accounted(state=JobState.TIMEOUT, word="TIMEOUT", ended_at=NOW.timestamp()))
    assert (found.max_rss_mb, found.cpu_seconds, found.elapsed_seconds) == (300.0, 90.0, 75)


def test_an_earlier_life_of_a_job_does_not_count() -> None:
    found = verdict(record=exit_record(lasted=60, cpu_seconds=50.0, restart_count=1), row=accounted(lives=1))
    assert (found.cpu_seconds, found.elapsed_seconds) == (50.0, 60)


def test_a_job_that_only_finished_a_publication_used_nothing_that_tells() -> None:
    found = verdict(record=exit_record(tool_ran=False, results_of="nf-0", max_rss_mb=None), row=accounted())
    assert (found.max_rss_mb, found.cpu_seconds, found.elapsed_seconds) == (None, None, None)
