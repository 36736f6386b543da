"""Runs: opened once, moved only as the table says, and told of in the audit log."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from neuroflow.core.state import SeenAttempt, StateManager
from neuroflow.domain import (
    FailureClass,
    Level,
    Resources,
    RetryDecision,
    RunProposal,
    RunRecord,
    RunStatus,
    SessionRecord,
)
from neuroflow.errors import IllegalMoveError, NotFoundError, StateError
from tests.core.conftest import FakeClock
from tests.support.states import FAILURE, GIVE_UP, SUCCESS, add_session, claim, end_run, open_run, proposal, submit

RETRY_AT_ONCE = RetryDecision(RunStatus.RETRY_WAIT, "again", counted=True)


@pytest.fixture
def session(state: StateManager) -> SessionRecord:
    """A session that is ready."""
    return add_session(state)


@pytest.fixture
def run(state: StateManager, session: SessionRecord) -> RunRecord:
    """A pending run."""
    return open_run(state, session)


def test_a_new_run_is_pending_and_knows_its_scope(state: StateManager, session: SessionRecord) -> None:
    workflow = state.start_workflow_run()
    run = state.open_run(proposal(session), workflow_run_id=workflow.id)
    assert run is not None
    assert run == state.get_run(run.id)
    assert (run.status, run.attempts, run.superseded) == (RunStatus.PENDING, 0, False)
    assert (run.scope, run.subject, run.session, run.level) == ("sub-01/ses-a", "01", "a", Level.SESSION)
    assert (run.inputs_key, run.reason, run.workflow_run_id) == ("k1", "first run", workflow.id)


def test_a_run_at_subject_level_has_no_session(state: StateManager, session: SessionRecord) -> None:
    run = state.open_run(RunProposal("qsiprep", Level.SUBJECT, "sub-01", session.subject_id, None, "k", "first run"))
    assert run is not None
    assert (run.subject, run.session, run.session_id) == ("01", None, None)


def test_one_run_is_open_per_pipeline_and_scope(state: StateManager, session: SessionRecord, run: RunRecord) -> None:
    assert state.open_run(proposal(session)) is None
    assert state.open_run(proposal(session, key="k2")) is None
    assert state.open_run(proposal(session, "qsirecon")) is not None
    assert state.open_run(proposal(add_session(state, "01", "b"))) is not None


def test_a_proposal_from_an_old_view_does_not_run_the_same_inputs_again(
    state: StateManager, session: SessionRecord, run: RunRecord
) -> None:
    end_run(state, run.id)
    assert state.open_run(proposal(session)) is None
    assert state.open_run(proposal(session, key="k2")) is not None


def test_a_superseded_run_is_run_again(state: StateManager, session: SessionRecord, run: RunRecord) -> None:
    end_run(state, run.id)
    assert state.mark_session_for_rerun(session.id, "again", pipeline="bids_conversion") == [run.id]
    assert state.get_run(run.id).superseded
    assert state.open_run(proposal(session)) is not None


def test_a_run_of_nobody_is_refused(state: StateManager, session: SessionRecord) -> None:
    with pytest.raises(StateError, match="refused the change"):
        state.open_run(replace(proposal(session), subject_id=999))


def test_move_run_compares_and_sets(state: StateManager, run: RunRecord, clock: FakeClock) -> None:
    clock.advance(minutes=1)
    assert state.move_run(run.id, expected={RunStatus.PENDING}, to=RunStatus.QUEUED, reason="hint sent")
    assert not state.move_run(run.id, expected={RunStatus.PENDING}, to=RunStatus.QUEUED, reason="hint sent")
    moved = state.get_run(run.id)
    assert (moved.status, moved.reason, moved.updated_at) == (RunStatus.QUEUED, "hint sent", clock.now)


def test_move_run_sets_fields_and_refuses_unknown_ones(state: StateManager, run: RunRecord) -> None:
    state.move_run(
        run.id,
        expected={RunStatus.PENDING},
        to=RunStatus.FAILED,
        reason="no image",
        failure=FailureClass.SITE,
        error_message="no such file",
        superseded=True,
    )
    moved = state.get_run(run.id)
    assert (moved.failure, moved.error_message, moved.superseded) == (FailureClass.SITE, "no such file", True)
    assert moved.ended_at is not None


@pytest.mark.parametrize("to", [RunStatus.COMPLETED, RunStatus.RUNNING, RunStatus.RETRY_WAIT, RunStatus.PENDING])
def test_an_illegal_move_is_refused_and_changes_nothing(state: StateManager, run: RunRecord, to: RunStatus) -> None:
    before = (state.get_run(run.id), state.list_audit())
    with pytest.raises(IllegalMoveError):
        state.move_run(run.id, expected={RunStatus.PENDING}, to=to, reason="no")
    if to is not RunStatus.PENDING:
        with pytest.raises(IllegalMoveError):
            state.update_pipeline_run(run.id, status=to)
    assert (state.get_run(run.id), state.list_audit()) == before


def test_a_run_whose_attempt_is_open_can_not_wait_again(state: StateManager, run: RunRecord) -> None:
    attempt = claim(state, run.id)
    with pytest.raises(IllegalMoveError, match=f"attempt {attempt.token} is open"):
        state.move_run(run.id, expected={RunStatus.SUBMITTING}, to=RunStatus.PENDING, reason="no")


def test_update_pipeline_run_changes_what_is_given(state: StateManager, run: RunRecord, clock: FakeClock) -> None:
    submit(state, run.id)
    metrics: dict[str, float | int | str] = {"fd_mean": 0.25, "volumes": 104, "model": "gqi"}
    updated = state.update_pipeline_run(
        run.id, status=RunStatus.COMPLETED, reason="done", output_path="/bids/sub-01", metrics=metrics
    )
    assert (updated.status, updated.reason, updated.output_path) == (RunStatus.COMPLETED, "done", "/bids/sub-01")
    assert (updated.metrics, updated.ended_at) == (metrics, clock.now)
    clock.advance(minutes=5)
    again = state.update_pipeline_run(run.id, status=RunStatus.COMPLETED, reason="seen again")
    assert (again.reason, again.metrics, again.updated_at) == ("seen again", metrics, clock.now)
    assert again.ended_at == updated.ended_at


def test_metrics_that_json_lacks_become_words(state: StateManager, run: RunRecord) -> None:
    metrics = {"nan": float("nan"), "inf": float("inf"), "one": 1.0}
    assert state.update_pipeline_run(run.id, metrics=metrics).metrics == {"nan": "nan", "inf": "inf", "one": 1.0}


def test_a_missing_run_is_named(state: StateManager) -> None:
    for ask in (
        lambda: state.get_run(5),
        lambda: state.update_pipeline_run(5, reason="x"),
        lambda: state.move_run(5, expected={RunStatus.PENDING}, to=RunStatus.QUEUED, reason="x"),
        lambda: state.cancel_run(5, reason="x", actor="ada"),
        lambda: state.mark_callback(5, "success"),
        lambda: claim(state, 5),
    ):
        with pytest.raises(NotFoundError, match="there is no run 5"):
            ask()


def test_cancelling_a_run_leaves_its_job_to_be_watched(state: StateManager, run: RunRecord) -> None:
    attempt = submit(state, run.id)
    cancelled = state.cancel_run(run.id, reason="wrong subject", actor="ada")
    assert (cancelled.status, cancelled.reason) == (RunStatus.CANCELLED, "wrong subject")
    assert cancelled.failure is FailureClass.CANCELLED
    assert [item.id for item in state.open_attempts()] == [attempt.id]
    assert state.cancel_run(run.id, reason="again", actor="bob") == cancelled
    assert state.list_audit(entity="run", entity_id=run.id)[-1].actor == "ada"


def test_an_ended_run_is_not_cancelled(state: StateManager, run: RunRecord) -> None:
    end_run(state, run.id)
    with pytest.raises(IllegalMoveError, match="has ended as completed, which is final"):
        state.cancel_run(run.id, reason="late", actor="ada")


def test_runs_are_listed_newest_first_by_what_is_asked(state: StateManager, session: SessionRecord) -> None:
    other = add_session(state, "02", "a")
    first, second = open_run(state, session), open_run(state, other)
    third = open_run(state, session, "qsirecon")
    end_run(state, first.id, success=False)

    def ids(**asked: object) -> list[int]:
        return [run.id for run in state.list_runs(**asked)]  # type: ignore[arg-type]

    assert ids() == [third.id, second.id, first.id]
    assert ids(limit=2) == [third.id, second.id]
    assert ids(pipeline="bids_conversion") == [second.id, first.id]
    assert ids(subject="01") == [third.id, first.id]
    assert ids(session="a", subject="02") == [second.id]
    assert ids(status=RunStatus.FAILED) == [first.id]
    assert ids(status={RunStatus.FAILED, RunStatus.PENDING}, pipeline="bids_conversion") == [second.id, first.id]
    assert ids(open_only=True) == [third.id, second.id]


def test_stale_means_that_no_witness_knows_it(state: StateManager, session: SessionRecord, clock: FakeClock) -> None:
    waiting = open_run(state, session, "qsiprep")
    seen, unseen = open_run(state, session, "a"), open_run(state, session, "b")
    seen_attempt = submit(state, seen.id)
    submit(state, unseen.id)
    clock.advance(hours=47)
    state.record_sightings([SeenAttempt(seen_attempt.id, word="PENDING", reason="Priority", running=False, seen=True)])
    assert state.find_stale_runs(48) == []
    clock.advance(hours=2)
    assert [run.id for run in state.find_stale_runs(48)] == [unseen.id]
    assert state.get_run(waiting.id).status is RunStatus.PENDING
    clock.advance(hours=48)
    assert [run.id for run in state.find_stale_runs(48)] == [seen.id, unseen.id]


def test_a_callback_is_made_once_per_run_and_kind(state: StateManager, session: SessionRecord, run: RunRecord) -> None:
    other = open_run(state, session, "qsirecon")
    assert state.mark_callback(run.id, "success")
    assert not state.mark_callback(run.id, "success")
    assert state.mark_callback(run.id, "failure")
    assert state.mark_callback(other.id, "success")


def fold(state: StateManager, run_id: int) -> str | None:
    """Replay a run's audit rows; each has to begin where the one before ended."""
    status: str | None = None
    for row in state.list_audit(entity="run", entity_id=run_id):
        if row.after is not None:
            assert row.before == status
            status = row.after
    return status


def test_the_audit_log_replays_to_the_present_status(
    state: StateManager, session: SessionRecord, clock: FakeClock
) -> None:
    run = open_run(state, session)
    state.move_run(run.id, expected={RunStatus.PENDING}, to=RunStatus.QUEUED, reason="hint sent")
    first = submit(state, run.id)
    state.record_sightings([SeenAttempt(first.id, word="RUNNING", reason="", running=True, seen=True, host="n1")])
    state.record_verdict(first.id, FAILURE, RETRY_AT_ONCE, None)
    state.record_submission_failed(claim(state, run.id).id, reason="queue full", decision=RETRY_AT_ONCE, failure=None)
    third = submit(state, run.id)
    state.record_verdict(third.id, FAILURE, GIVE_UP, None)
    state.mark_session_for_rerun(session.id, "again", actor="ada")
    again = open_run(state, session)
    state.record_verdict(submit(state, again.id).id, SUCCESS, None, None)
    for run_id in (run.id, again.id):
        assert fold(state, run_id) == state.get_run(run_id).status
    assert fold(state, run.id) == "failed"
    assert len({row.id for row in state.list_audit()}) == len(state.list_audit())


def test_resources_and_nodes_come_back_as_they_were(state: StateManager, run: RunRecord, clock: FakeClock) -> None:
    decision = RetryDecision(
        RunStatus.RETRY_WAIT,
        "more memory",
        counted=True,
        next_attempt_at=clock.now + timedelta(minutes=5),
        resources=Resources(8, 60_000, 720, gpus=1),
        exclude_nodes=("n1", "n2"),
    )
    state.record_verdict(submit(state, run.id).id, FAILURE, decision, None)
    stored = state.get_run(run.id)
    assert (stored.resources, stored.exclude_nodes) == (decision.resources, decision.exclude_nodes)
    assert stored.next_attempt_at == decision.next_attempt_at
