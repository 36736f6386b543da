"""Whatever SLURM, a wrapper or a broken disk may say: reading it never raises, and invents no verdict."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from neuroflow.cluster.accounting_query import parse_exit_code, parse_sacct, parse_size
from neuroflow.cluster.answers import job_id_of
from neuroflow.cluster.job_ids import MAX_ELEMENTS, array_index, job_ids
from neuroflow.cluster.queue_query import parse_squeue
from neuroflow.cluster.site_limits import gathered
from neuroflow.cluster.states import ENDED_STATES, STATE_OF_WORD
from neuroflow.cluster.transport import CompletedCommand
from neuroflow.cluster.verdict import is_success, judge
from neuroflow.domain import (
    AccountingRow,
    AttemptStatus,
    ExitRecord,
    JobState,
    QueueRow,
    Sighting,
    VerdictKind,
)
from neuroflow.errors import SubmissionRefused, SubmissionUncertain
from tests.cluster_layer.builders import NOW, attempt
from tests.cluster_layer.recordings import all_recorded

fast = settings(max_examples=100)

SQUEUE, SACCT = all_recorded("squeue_*"), all_recorded("sacct_*")
LIMITS = all_recorded("scontrol_*") + all_recorded("sacctmgr_*")
PIECES = st.sampled_from(["\x1f", "\n", "|", "_", "[", "]", "-", ":", "%", ",", "...", ".", "=", "Unknown", "-1"])
GARBAGE = st.one_of(
    st.text(max_size=40), PIECES, st.integers(-(10**30), 10**30).map(str), st.sampled_from(sorted(STATE_OF_WORD))
)


@st.composite
def mutated(draw: st.DrawFn, recorded: list[str]) -> str:
    """Cut, repeat, swap or overwrite pieces of a recorded answer."""
    text = draw(st.sampled_from(recorded))
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, max(0, len(text) - 1)))
        end = min(len(text), start + draw(st.integers(0, 30)))
        text = text[:start] + draw(st.one_of(st.just(""), GARBAGE, st.just(text[start:end] * 2))) + text[end:]
    return text


@fast
@given(st.one_of(st.text(), mutated(SQUEUE)))
def test_squeue_is_read_whatever_it_says(text: str) -> None:
    for row in parse_squeue(text):
        assert job_ids(row.job_id) == (row.job_id,)
        assert (row.ended_at is None) or row.state in ENDED_STATES


NO_MOMENT = "\x1f".join(("7", "FAILED", "1:0", "", "5", "9" * 18, "9" * 18, "9" * 18, "n1", "", "nf-1"))


@fast
@example(NO_MOMENT)
@given(st.one_of(st.text(), mutated(SACCT)))
def test_sacct_is_read_whatever_it_says(text: str) -> None:
    rows = parse_sacct(text)
    assert len({(row.job_id, row.token) for row in rows}) == len(rows)
    for row in rows:
        assert job_ids(row.job_id) == (row.job_id,)
        assert row.lives >= 1
        assert row.max_rss_mb is None or row.max_rss_mb >= 0
        assert row.ended_at is None or datetime.fromtimestamp(row.ended_at, UTC)
        judge(attempt(), Sighting(True, True, accounting=row), now=NOW, grace_seconds=60)


@fast
@given(mutated(SACCT))
def test_what_sacct_says_twice_changes_nothing_but_the_lives(text: str) -> None:
    once = {(row.job_id, row.token): row.word for row in parse_sacct(text)}
    assert {(row.job_id, row.token): row.word for row in parse_sacct(f"{text}\n{text}")} == once


@fast
@given(st.one_of(st.text(), GARBAGE))
def test_exit_codes_and_sizes_are_read_or_not_known(text: str) -> None:
    code, signal = parse_exit_code(text)
    assert code is None or code >= 0
    assert signal is None or signal > 0
    size = parse_size(text)
    assert size is None or size >= 0


@fast
@given(
    st.one_of(
        st.text(),
        st.builds("{}_[{}]".format, st.integers(0, 10**20), st.text("0123456789-,:%.", max_size=40)),
    )
)
def test_ids_of_arrays_stand_for_elements_of_the_same_array(text: str) -> None:
    found = job_ids(text)
    assert len(found) <= MAX_ELEMENTS
    assert all(job_id == text or job_id.startswith(text.partition("[")[0]) for job_id in found)
    assert all(array_index(job_id) is not None for job_id in found if job_id != text)


@fast
@given(
    st.sets(st.integers(0, 500), min_size=1, max_size=60),
    st.integers(1, 500).map(lambda number: f"%{number}") | st.just(""),
)
def test_every_element_of_a_whole_list_is_found(indexes: set[int], limit: str) -> None:
    listed = ",".join(str(index) for index in sorted(indexes))
    assert job_ids(f"7_[{listed}{limit}]") == tuple(f"7_{index}" for index in sorted(indexes))
    cut = f"{listed}{limit}"[:61] + "..."
    assert set(job_ids(f"7_[{cut}]")) <= {f"7_{index}" for index in indexes}


@fast
@given(st.integers(-64, 255), st.text(), st.text())
def test_sbatch_gives_a_job_id_or_one_of_two_errors(exit_code: int, stdout: str, stderr: str) -> None:
    try:
        job_id = job_id_of(CompletedCommand(("sbatch",), exit_code, stdout, stderr))
    except (SubmissionRefused, SubmissionUncertain):
        return
    assert exit_code == 0
    assert job_id.isdigit()


@fast
@given(*[st.one_of(st.none(), st.text(max_size=200), mutated(LIMITS))] * 5)
def test_limits_are_read_or_not_known(
    config: str | None, partitions: str | None, reservations: str | None, associations: str | None, qos: str | None
) -> None:
    gathered(config=config, partitions=partitions, reservations=reservations, associations=associations, qos=qos)


MOMENTS = st.one_of(st.floats(0, 253402300799), st.floats(NOW.timestamp() - 9999, NOW.timestamp() + 9999))
STATES = st.sampled_from(list(JobState))
SMALL = st.one_of(st.none(), st.integers(0, 300))
QUEUE_ROWS = st.builds(
    QueueRow,
    job_id=st.sampled_from(["17", "18"]),
    token=st.just("nf-1"),
    state=STATES,
    word=st.text(max_size=12),
    reason=st.text(max_size=12),
    ended_at=st.one_of(st.none(), MOMENTS, st.floats()),
)
ACCOUNTING_ROWS = st.builds(
    AccountingRow,
    job_id=st.sampled_from(["17", "18"]),
    token=st.just("nf-1"),
    state=STATES,
    word=st.text(max_size=12),
    exit_code=SMALL,
    signal=SMALL,
    max_rss_mb=st.one_of(st.none(), st.floats(0, 1e9)),
    elapsed_seconds=SMALL,
    nodes=st.text(max_size=5),
    ended_at=st.one_of(st.none(), MOMENTS, st.floats()),
    started_at=st.one_of(st.none(), MOMENTS),
    lives=st.integers(1, 3),
)
TEXTS = st.lists(st.text(max_size=5), max_size=2).map(tuple)
RECORDS = st.builds(
    ExitRecord,
    token=st.just("nf-1"),
    job_id=st.sampled_from(["17", "18"]),
    exit_code=SMALL,
    signal=SMALL,
    host=st.text(max_size=5),
    started_at=MOMENTS,
    ended_at=MOMENTS,
    stderr_tail=st.text(max_size=50),
    max_rss_mb=st.one_of(st.none(), st.floats(0, 1e9)),
    crash_files=TEXTS,
    missing_outputs=TEXTS,
    published=st.booleans(),
    error=st.text(max_size=9),
    restart_count=st.integers(0, 3),
    bad_input=st.sampled_from(["", "ValueError: no dwi"]),
    oom_kills=st.integers(0, 2),
    stopped_by=st.sampled_from(["", "SIGTERM", "SIGUSR2", "TIME_LIMIT"]),
)


@st.composite
def sightings(draw: st.DrawFn) -> Sighting:
    """What one poll may have seen: a witness that did not answer names no row."""
    queue_answered = draw(st.booleans())
    accounting = draw(st.sampled_from(["answered", "silent", "none"])) if queue_answered else "none"
    return Sighting(
        queue_answered=queue_answered,
        accounting_answered=accounting == "answered",
        queue=draw(st.none() | QUEUE_ROWS) if queue_answered else None,
        accounting=draw(st.none() | ACCOUNTING_ROWS) if accounting == "answered" else None,
        exit_record=draw(st.none() | RECORDS),
        accounting_silent=accounting == "silent",
        revoked=queue_answered and draw(st.booleans()),
    )


@settings(fast, max_examples=300)
@given(
    sightings(),
    st.sampled_from([AttemptStatus.SUBMITTED, AttemptStatus.RUNNING]),
    st.integers(0, 10**6),
    st.floats(0, 10**5),
)
def test_a_verdict_needs_evidence_of_an_end(
    seen: Sighting, status: AttemptStatus, unseen_seconds: int, grace: float
) -> None:
    one = attempt(status=status, last_seen_at=NOW - timedelta(seconds=unseen_seconds))
    found = judge(one, seen, now=NOW, grace_seconds=grace)
    rows = [row for row in (seen.queue, seen.accounting) if row is not None]
    has_ended = seen.revoked or seen.exit_record is not None or any(row.state in ENDED_STATES for row in rows)
    success = seen.exit_record is not None and is_success(seen.exit_record)
    assert (found.kind is VerdictKind.SUCCEEDED) == success
    assert (found.kind is VerdictKind.FAILED) == (found.failure is not None)
    if found.kind is VerdictKind.FAILED:
        assert has_ended
        assert seen.queue_answered
    if found.kind in (VerdictKind.FAILED, VerdictKind.SUCCEEDED):
        assert found.seen
    assert found.reason


@pytest.mark.parametrize("word", sorted(STATE_OF_WORD))
def test_every_word_of_the_table_ends_a_job_or_keeps_it_open(word: str) -> None:
    assert STATE_OF_WORD[word] not in (JobState.UNRECOGNISED, JobState.NOT_REPORTED)
