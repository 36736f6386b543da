"""Notices are written with the change, gathered once, and delivered by one sender at a time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from neuroflow.core.audit import Audit, write_audit
from neuroflow.core.state import StateManager
from neuroflow.domain import DeliveryStatus, Message, NoticeKind, RunStatus, WorkflowStatus
from neuroflow.errors import IllegalMoveError
from tests.core.conftest import FakeClock
from tests.support.states import FAILURE, GIVE_UP, add_session, end_run, open_run, submit

MESSAGE = Message("subject", "body")


def fail_run(state: StateManager, subject: str = "01") -> int:
    run = open_run(state, add_session(state, subject), "bids_conversion")
    attempt = submit(state, run.id)
    assert state.record_verdict(attempt.id, FAILURE, GIVE_UP, None, signature="abc")
    return run.id


def kinds(state: StateManager) -> list[NoticeKind]:
    return [notice.kind for notice in state.pending_notices()]


def queue(state: StateManager, *targets: str) -> int | None:
    ids = [notice.id for notice in state.pending_notices()]
    return state.queue_message(MESSAGE, notice_ids=ids, times={"topic": 1}, targets=targets)


def test_what_people_may_want_to_know_leaves_a_notice(state: StateManager) -> None:
    run_id = fail_run(state)
    state.hold_pipeline("qsiprep", reason="alike")
    workflow = state.start_workflow_run()
    state.finish_workflow_run(workflow.id, status=WorkflowStatus.COMPLETED, stages_completed=(), tasks_queued=2)
    failed, held, completed = state.pending_notices()
    assert (failed.kind, failed.entity_id) == (NoticeKind.RUN_FAILED, run_id)
    assert (held.kind, held.pipeline, held.text) == (NoticeKind.PIPELINE_HELD, "qsiprep", "alike")
    assert (completed.kind, completed.entity_id) == (NoticeKind.WORKFLOW_COMPLETED, workflow.id)


def test_successes_and_what_a_person_does_leave_none(state: StateManager) -> None:
    end_run(state, open_run(state, add_session(state), "bids_conversion").id)
    state.hold_pipeline("qsiprep", reason="later", actor="alice")
    state.release_pipeline("qsiprep", reason="now", actor="alice")
    assert kinds(state) == []


def test_a_change_that_is_rolled_back_leaves_none(state: StateManager) -> None:
    run = open_run(state, add_session(state), "bids_conversion")
    attempt = submit(state, run.id)
    with pytest.raises(IllegalMoveError):
        state.record_verdict(attempt.id, FAILURE, replace(GIVE_UP, status=RunStatus.PENDING), None)
    with pytest.raises(ZeroDivisionError):
        _write_and_fail(state, run.id)
    assert kinds(state) == []


def _write_and_fail(state: StateManager, run_id: int) -> None:
    with state._write() as (session, now):
        write_audit(session, Audit(now, "neuroflow", "run.failed", "run", run_id, None, "failed", "boom"))
        raise ZeroDivisionError


def test_a_notice_goes_into_one_message_only(state: StateManager, clock: FakeClock) -> None:
    fail_run(state, "01")
    seen = [notice.id for notice in state.pending_notices()]
    assert queue(state, "a", "b") is not None
    again = state.queue_message(MESSAGE, notice_ids=seen, times={"topic": 7}, targets=["a"])
    assert again is None
    assert kinds(state) == []
    assert state.messages_since(clock() - timedelta(hours=1)) == 1
    assert [item.target for item in state.due_deliveries(limit=9)] == ["a", "b"]
    assert state.told()["topic"].times == 1


def test_a_delivery_is_claimed_by_one_sender(state: StateManager, clock: FakeClock) -> None:
    fail_run(state)
    queue(state, "a")
    (delivery,) = state.due_deliveries(limit=9)
    until = clock() + timedelta(minutes=5)
    assert state.claim_delivery(delivery, until=until)
    assert not state.claim_delivery(delivery, until=until)
    assert state.due_deliveries(limit=9) == []
    assert state.delivery_made(delivery)
    assert not state.delivery_missed(delivery, error="late", next_try_at=None)
    (made,) = state.list_deliveries()
    assert (made.status, made.tries, made.error, made.sent_at) == (DeliveryStatus.SENT, 1, "", clock())


def test_a_sender_that_died_leaves_the_delivery_to_another(state: StateManager, clock: FakeClock) -> None:
    fail_run(state)
    queue(state, "a")
    (delivery,) = state.due_deliveries(limit=9)
    assert state.claim_delivery(delivery, until=clock() + timedelta(minutes=5))
    clock.advance(minutes=6)
    (again,) = state.due_deliveries(limit=9)
    assert state.claim_delivery(again, until=clock() + timedelta(minutes=5))
    # The first one was only slow: what it notes now changes nothing.
    assert not state.delivery_made(delivery)
    assert state.delivery_made(again)


def test_what_did_not_arrive_is_counted_until_it_does(state: StateManager, clock: FakeClock) -> None:
    fail_run(state)
    queue(state, "a")
    since = clock() - timedelta(days=1)
    (delivery,) = state.due_deliveries(limit=9)
    assert state.undelivered(since=since) == 0
    state.claim_delivery(delivery, until=clock())
    state.delivery_missed(delivery, error="refused", next_try_at=clock() + timedelta(minutes=1))
    assert state.undelivered(since=since) == 1
    clock.advance(minutes=2)
    (delivery,) = state.due_deliveries(limit=9)
    state.claim_delivery(delivery, until=clock())
    state.delivery_made(delivery)
    assert state.undelivered(since=since) == 0


def test_a_condition_leaves_a_notice_when_it_changes(state: StateManager) -> None:
    def note(condition: str, kind: NoticeKind | None = NoticeKind.POLLER_SILENT) -> bool:
        return state.note_condition("poller", condition, kind=kind, text=condition)

    assert note("well", None)
    assert note("silent")
    assert not note("silent")
    assert [notice.text for notice in state.pending_notices()] == ["silent"]
    assert note("well", None)
    assert state.condition("poller") is not None
    assert kinds(state) == [NoticeKind.POLLER_SILENT]


def test_old_messages_are_pruned_with_all_of_theirs(state: StateManager, clock: FakeClock) -> None:
    fail_run(state, "01")
    queue(state, "a")
    (delivery,) = state.due_deliveries(limit=9)
    clock.advance(days=40)
    assert state.prune_messages(clock() - timedelta(days=30)) == 0  # still waits
    state.claim_delivery(delivery, until=clock())
    state.delivery_made(delivery)
    assert state.prune_messages(clock() - timedelta(days=30)) == 1
    assert state.list_deliveries() == []
    assert state.told() == {}
