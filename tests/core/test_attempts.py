"""Attempts: claimed within limits, watched, and ended by one verdict."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from neuroflow.core.state import SeenAttempt, StateManager
from neuroflow.domain import (
    AdapterResult,
    AttemptStatus,
    FailureClass,
    RetryDecision,
    RunRecord,
    RunStatus,
    SessionRecord,
    Verdict,
    VerdictKind,
)
from neuroflow.errors import NotFoundError, StateError
from tests.core.conftest import FakeClock
from tests.support.states import (
    FAILURE,
    GIVE_UP,
    RESOURCES,
    SUCCESS,
    add_session,
    claim,
    end_run,
    open_run,
    proposal,
    submit,
    try_claim,
)


@pytest.fixture
def session(state: StateManager) -> SessionRecord:
    """A session that is ready."""
    return add_session(state)


@pytest.fixture
def run(state: StateManager, session: SessionRecord) -> RunRecord:
    """A pending run."""
    return open_run(state, session)


def retry(clock: FakeClock, *, minutes: float = 5, counted: bool = True) -> RetryDecision:
    return RetryDecision(
        RunStatus.RETRY_WAIT, "again", counted=counted, next_attempt_at=clock.now + timedelta(minutes=minutes)
    )


def test_a_claim_writes_the_attempt_before_anything_is_submitted(state: StateManager, run: RunRecord) -> None:
    attempt = claim(state, run.id)
    assert state.get_run(run.id).status is RunStatus.SUBMITTING
    assert attempt == state.get_attempt(attempt.id) == state.latest_attempt(run.id)
    assert (attempt.status, attempt.number, attempt.where) == (AttemptStatus.SUBMITTING, 1, "slurm")
    assert (attempt.pipeline, attempt.scope, attempt.resources) == ("bids_conversion", "sub-01/ses-a", RESOURCES)
    assert (attempt.job_id, attempt.image) == (None, "/images/app.sif")


def test_a_claimed_run_is_not_there_to_take(state: StateManager, run: RunRecord) -> None:
    claim(state, run.id)
    assert try_claim(state, run.id) is None


@pytest.mark.parametrize("success", [True, False])
def test_an_ended_run_is_not_there_to_take(state: StateManager, run: RunRecord, success: bool) -> None:
    end_run(state, run.id, success=success)
    assert try_claim(state, run.id) is None


def test_a_queued_run_can_be_claimed(state: StateManager, run: RunRecord) -> None:
    state.move_run(run.id, expected={RunStatus.PENDING}, to=RunStatus.QUEUED, reason="hint sent")
    claim(state, run.id)


def test_a_waiting_retry_is_claimed_only_when_it_is_due(state: StateManager, run: RunRecord, clock: FakeClock) -> None:
    state.record_verdict(submit(state, run.id).id, FAILURE, retry(clock, minutes=5), None)
    clock.advance(minutes=4, seconds=59)
    assert try_claim(state, run.id) is None
    clock.advance(seconds=1)
    attempt = claim(state, run.id)
    assert attempt.number == 2
    assert state.get_run(run.id).next_attempt_at is None


def test_the_limit_counts_the_runs_in_flight_of_the_pipeline(state: StateManager, run: RunRecord) -> None:
    others = [open_run(state, add_session(state, "02", label)) for label in ("a", "b")]
    elsewhere = open_run(state, add_session(state, "03"), "qsirecon")
    claim(state, elsewhere.id)
    submit(state, run.id)
    assert try_claim(state, others[0].id, limit=2) is not None
    assert try_claim(state, others[1].id, limit=2) is None
    state.record_verdict(state.open_attempts()[-1].id, FAILURE, GIVE_UP, None)
    assert try_claim(state, others[1].id, limit=2) is not None
    assert try_claim(state, others[1].id, limit=0) is None


def test_a_token_is_used_once(state: StateManager, session: SessionRecord, run: RunRecord) -> None:
    token = claim(state, run.id).token
    other = open_run(state, session, "qsirecon")
    with pytest.raises(StateError, match="refused the change"):
        state.claim_run(other.id, token=token, where="slurm", folder="/f", resources=RESOURCES, image=None, limit=5)
    assert state.get_run(other.id).status is RunStatus.PENDING


def test_a_new_run_waits_for_the_job_of_the_cancelled_one(
    state: StateManager, session: SessionRecord, run: RunRecord
) -> None:
    attempt = submit(state, run.id)
    state.cancel_run(run.id, reason="wrong", actor="ada")
    state.mark_session_for_rerun(session.id, "again", pipeline="bids_conversion")
    again = open_run(state, session)
    assert try_claim(state, again.id) is None
    verdict = replace(FAILURE, failure=FailureClass.CANCELLED, reason="CANCELLED by 1000")
    assert state.record_verdict(attempt.id, verdict, replace(GIVE_UP, status=RunStatus.CANCELLED), None)
    assert state.get_attempt(attempt.id).status is AttemptStatus.CANCELLED
    claim(state, again.id)


def test_submitted_stores_the_job_once(state: StateManager, run: RunRecord, clock: FakeClock) -> None:
    attempt = claim(state, run.id)
    clock.advance(seconds=3)
    assert state.record_submitted(attempt.id, "4711")
    assert not state.record_submitted(attempt.id, "4712")
    stored = state.get_attempt(attempt.id)
    assert (stored.status, stored.job_id, stored.submitted_at) == (AttemptStatus.SUBMITTED, "4711", clock.now)
    assert state.get_run(run.id).status is RunStatus.SUBMITTED


def test_the_job_of_a_run_that_was_cancelled_meanwhile_is_still_stored(state: StateManager, run: RunRecord) -> None:
    attempt = claim(state, run.id)
    state.cancel_run(run.id, reason="wrong", actor="ada")
    assert state.record_submitted(attempt.id, "4711")
    assert state.get_attempt(attempt.id).job_id == "4711"
    assert state.get_run(run.id).status is RunStatus.CANCELLED


def test_a_failed_submission_ends_the_attempt_and_lets_the_run_wait(
    state: StateManager, run: RunRecord, clock: FakeClock
) -> None:
    attempt = claim(state, run.id)
    decision = retry(clock, counted=False)
    assert state.record_submission_failed(attempt.id, reason="queue full", decision=decision, failure=None)
    assert not state.record_submission_failed(attempt.id, reason="queue full", decision=decision, failure=None)
    stored, waiting = state.get_attempt(attempt.id), state.get_run(run.id)
    assert (stored.status, stored.message, stored.counted) == (AttemptStatus.FAILED, "queue full", False)
    assert (waiting.status, waiting.attempts) == (RunStatus.RETRY_WAIT, 0)
    assert waiting.next_attempt_at == decision.next_attempt_at


def test_a_submitted_attempt_has_not_failed_to_be_submitted(state: StateManager, run: RunRecord) -> None:
    attempt = submit(state, run.id)
    assert not state.record_submission_failed(attempt.id, reason="late", decision=GIVE_UP, failure=None)
    assert state.get_run(run.id).status is RunStatus.SUBMITTED


def test_a_sighting_tells_when_a_job_was_seen_and_that_it_runs(
    state: StateManager, run: RunRecord, clock: FakeClock
) -> None:
    attempt = submit(state, run.id)
    clock.advance(minutes=1)
    state.record_sightings([SeenAttempt(attempt.id, word="PENDING", reason="Priority", running=False, seen=True)])
    seen_at = clock.now
    clock.advance(minutes=1)
    state.record_sightings([SeenAttempt(attempt.id, word="", reason="not reported", running=False, seen=False)])
    stored = state.get_attempt(attempt.id)
    assert (stored.last_seen_at, stored.job_reason, stored.status) == (seen_at, "not reported", AttemptStatus.SUBMITTED)
    state.record_sightings([SeenAttempt(attempt.id, word="RUNNING", reason="", running=True, seen=True, host="n7")])
    clock.advance(minutes=1)
    state.record_sightings([SeenAttempt(attempt.id, word="RUNNING", reason="", running=True, seen=True)])
    stored = state.get_attempt(attempt.id)
    assert (stored.status, stored.host, stored.last_seen_at) == (AttemptStatus.RUNNING, "n7", clock.now)
    running = state.get_run(run.id)
    assert (running.status, running.started_at) == (RunStatus.RUNNING, clock.now - timedelta(minutes=1))


def test_a_requeued_job_takes_its_attempt_and_run_back_to_submitted(
    state: StateManager, run: RunRecord, clock: FakeClock
) -> None:
    attempt = submit(state, run.id)
    state.record_sightings([SeenAttempt(attempt.id, word="RUNNING", reason="", running=True, seen=True, host="n7")])
    requeued = SeenAttempt(attempt.id, "PENDING", "SLURM: PENDING (BeginTime)", False, True, requeued=True)
    clock.advance(minutes=1)
    for _ in range(2):
        state.record_sightings([requeued])
    stored = state.get_attempt(attempt.id)
    assert (stored.status, stored.job_word, stored.started_at) == (AttemptStatus.SUBMITTED, "PENDING", None)
    assert state.get_run(run.id).status is RunStatus.SUBMITTED
    moves = [entry for entry in state.list_audit() if entry.before == "running"]
    assert sorted(entry.entity for entry in moves) == ["attempt", "run"]
    assert {entry.reason for entry in moves} == {"the job was requeued and waits again; SLURM: PENDING (BeginTime)"}
    clock.advance(minutes=1)
    state.record_sightings([SeenAttempt(attempt.id, word="RUNNING", reason="", running=True, seen=True, host="n8")])
    stored = state.get_attempt(attempt.id)
    assert (stored.status, stored.host, stored.started_at) == (AttemptStatus.RUNNING, "n8", clock.now)


def test_a_requeue_that_is_seen_late_moves_no_run_that_has_ended(state: StateManager, run: RunRecord) -> None:
    attempt = submit(state, run.id)
    state.record_sightings([SeenAttempt(attempt.id, word="RUNNING", reason="", running=True, seen=True)])
    state.cancel_run(run.id, reason="not wanted", actor="a person")
    state.record_sightings([SeenAttempt(attempt.id, "PENDING", "again", False, True, requeued=True)])
    assert state.get_attempt(attempt.id).status is AttemptStatus.SUBMITTED
    assert state.get_run(run.id).status is RunStatus.CANCELLED


def test_many_sightings_are_stored_at_once_and_leave_ended_attempts_alone(
    state: StateManager, session: SessionRecord
) -> None:
    attempts = [submit(state, open_run(state, session, name).id) for name in ("a", "b")]
    state.record_verdict(attempts[0].id, SUCCESS, None, None)
    state.record_sightings([SeenAttempt(attempt.id, "RUNNING", "", True, True) for attempt in attempts])
    statuses = [state.get_attempt(attempt.id).status for attempt in attempts]
    assert statuses == [AttemptStatus.SUCCEEDED, AttemptStatus.RUNNING]


def test_unchanged_attempts_are_only_seen_again(state: StateManager, session: SessionRecord, clock: FakeClock) -> None:
    attempts = [submit(state, open_run(state, session, name).id) for name in ("a", "b", "c")]
    state.record_sightings([SeenAttempt(one.id, "PENDING", "Priority", False, True, "n1") for one in attempts])
    before, audit = [state.get_attempt(one.id) for one in attempts], state.list_audit()
    first, second, third = attempts
    clock.advance(minutes=1)
    state.record_sightings(
        [
            SeenAttempt(first.id, "PENDING", "Priority", False, True),
            SeenAttempt(second.id, "PENDING", "Resources", False, True),
            SeenAttempt(third.id, "PENDING", "not listed", False, False),
        ]
    )
    assert [state.get_attempt(one.id) for one in attempts] == [
        replace(before[0], last_seen_at=clock.now),
        replace(before[1], last_seen_at=clock.now, job_reason="Resources"),
        replace(before[2], job_reason="not listed"),
    ]
    assert state.list_audit() == audit


def test_success_completes_the_run(state: StateManager, run: RunRecord, clock: FakeClock) -> None:
    attempt = submit(state, run.id)
    started = clock.now
    clock.advance(hours=2)
    verdict = replace(SUCCESS, started_at=started, ended_at=clock.now, max_rss_mb=812.5, host="n1")
    result = AdapterResult(True, 0, "/bids/sub-01/ses-a", None, {"volumes": 104}, 7200.0)
    assert state.record_verdict(attempt.id, verdict, None, result)
    ended, done = state.get_attempt(attempt.id), state.get_run(run.id)
    assert (ended.status, ended.exit_code, ended.max_rss_mb) == (AttemptStatus.SUCCEEDED, 0, 812.5)
    assert (ended.host, ended.job_word, ended.ended_at) == ("n1", "COMPLETED", clock.now)
    assert (done.status, done.attempts, done.output_path) == (RunStatus.COMPLETED, 1, "/bids/sub-01/ses-a")
    assert (done.metrics, done.failure, done.error_message) == ({"volumes": 104}, None, "")
    assert (done.started_at, done.ended_at) == (started, clock.now)


def test_success_after_a_failure_leaves_no_failure_behind(
    state: StateManager, run: RunRecord, clock: FakeClock
) -> None:
    state.record_verdict(submit(state, run.id).id, FAILURE, retry(clock, minutes=0), None)
    assert state.get_run(run.id).failure is FailureClass.APPLICATION
    end_run(state, run.id)
    done = state.get_run(run.id)
    assert (done.status, done.attempts, done.failure, done.error_message) == (RunStatus.COMPLETED, 2, None, "")


def test_only_counted_failures_count(state: StateManager, run: RunRecord, clock: FakeClock) -> None:
    for counted in (True, False, True):
        decision = retry(clock, minutes=0, counted=counted)
        state.record_verdict(submit(state, run.id).id, FAILURE, decision, None)
    assert state.get_run(run.id).attempts == 2
    assert [attempt.counted for attempt in state.attempts_of(run.id)] == [True, False, True]
    assert [attempt.number for attempt in state.attempts_of(run.id)] == [1, 2, 3]


def test_a_failure_says_why_on_the_run(state: StateManager, run: RunRecord) -> None:
    result = AdapterResult(False, 1, None, "ValueError: no dwi", {}, None)
    state.record_verdict(submit(state, run.id).id, FAILURE, GIVE_UP, result)
    failed = state.get_run(run.id)
    assert (failed.status, failed.reason) == (RunStatus.FAILED, "given up")
    assert (failed.failure, failed.error_message) == (FailureClass.APPLICATION, "ValueError: no dwi")


def test_a_verdict_is_final(state: StateManager, run: RunRecord) -> None:
    attempt = submit(state, run.id)
    assert state.record_verdict(attempt.id, FAILURE, GIVE_UP, None)
    before = (state.get_run(run.id), state.list_audit())
    assert not state.record_verdict(attempt.id, SUCCESS, None, None)
    assert (state.get_run(run.id), state.list_audit()) == before


def test_the_success_of_a_cancelled_run_does_not_complete_it(state: StateManager, run: RunRecord) -> None:
    attempt = submit(state, run.id)
    state.cancel_run(run.id, reason="wrong", actor="ada")
    assert state.record_verdict(attempt.id, SUCCESS, None, None)
    assert state.get_attempt(attempt.id).status is AttemptStatus.SUCCEEDED
    assert state.get_run(run.id).status is RunStatus.CANCELLED
    assert state.open_attempts() == []


@pytest.mark.parametrize("kind", [VerdictKind.PENDING, VerdictKind.RUNNING, VerdictKind.UNKNOWN])
def test_a_verdict_that_decides_nothing_is_refused(state: StateManager, run: RunRecord, kind: VerdictKind) -> None:
    attempt = submit(state, run.id)
    with pytest.raises(StateError, match=f"of kind {kind} ends no attempt"):
        state.record_verdict(attempt.id, Verdict(kind, "?"), None, None)
    with pytest.raises(StateError, match="needs a decision"):
        state.record_verdict(attempt.id, FAILURE, None, None)
    assert state.get_attempt(attempt.id).status is AttemptStatus.SUBMITTED


def test_a_missing_attempt_is_named(state: StateManager) -> None:
    for ask in (
        lambda: state.get_attempt(5),
        lambda: state.record_submitted(5, "1"),
        lambda: state.record_verdict(5, SUCCESS, None, None),
    ):
        with pytest.raises(NotFoundError, match="there is no attempt 5"):
            ask()


def test_text_with_nul_from_a_log_is_stored(state: StateManager, run: RunRecord) -> None:
    result = AdapterResult(False, 1, None, "segfault\x00 caf\udce9", {}, None)
    state.record_verdict(submit(state, run.id).id, FAILURE, GIVE_UP, result)
    assert state.get_run(run.id).error_message == "segfault\ufffd caf\\udce9"


def test_open_attempts_are_those_without_a_verdict(state: StateManager, session: SessionRecord) -> None:
    runs = [state.open_run(proposal(session, name)) for name in ("a", "b", "c")]
    attempts = [submit(state, run.id) for run in runs if run is not None]
    state.record_verdict(attempts[1].id, SUCCESS, None, None)
    assert [attempt.id for attempt in state.open_attempts()] == [attempts[0].id, attempts[2].id]
