"""What people change by hand: each change once, whoever else asks, with who and why."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

import pytest

from neuroflow.core.state import StateManager
from neuroflow.domain import OPEN_RUN_STATUSES, RerunRequest, RetryDecision, RunStatus, SessionRecord
from tests.core.racers import race
from tests.support.states import FAILURE, add_session, end_run, open_run, submit, try_claim

PERSONS = ("ada", "bob", "eva", "kim")


@pytest.fixture
def session(state: StateManager) -> SessionRecord:
    """A session that is ready."""
    return add_session(state)


def again(worker: StateManager, run_id: int, actor: str) -> tuple[int, ...]:
    return worker.supersede_runs([RerunRequest((run_id,))], reason="new image", actor=actor)


def test_of_persons_who_ask_at_once_one_opens_one_new_run(
    state: StateManager, session: SessionRecord, database_url: str
) -> None:
    run = open_run(state, session)
    end_run(state, run.id)
    answers = race(database_url, [partial(again, run_id=run.id, actor=who) for who in PERSONS])
    assert sorted(answers) == [(), (), (), (run.id,)]
    new = open_run(state, session)
    assert len(state.list_runs(open_only=True)) == 1
    assert again(state, run.id, "late") == ()  # it has been followed by now
    assert new.reason == f"asked for again by {PERSONS[answers.index((run.id,))]}: new image"


def test_the_new_run_tells_who_asked_and_why(state: StateManager, session: SessionRecord) -> None:
    run = open_run(state, session)
    end_run(state, run.id)
    state.supersede_runs([RerunRequest((run.id,), "session", session.id)], reason="motion", actor="ada")
    new = open_run(state, session)
    opened = state.list_audit(entity="run", entity_id=new.id)[0]
    assert opened.reason.endswith("by ada: motion")
    assert (opened.details["in_place_of"], opened.details["asked_by"]) == (run.id, "ada")
    assert [row.event for row in state.list_audit(entity="session", entity_id=session.id)][-1] == "session.rerun"


def test_one_that_was_withdrawn_in_between_hides_neither_the_word_nor_the_run(
    state: StateManager, session: SessionRecord
) -> None:
    run = open_run(state, session)
    end_run(state, run.id)
    again(state, run.id, "ada")
    short = open_run(state, session)
    state.move_run(short.id, expected={RunStatus.PENDING}, to=RunStatus.CANCELLED, reason="withdrawn", superseded=True)
    assert open_run(state, session).reason.endswith("by ada: new image")


def test_an_open_run_or_one_that_was_followed_is_not_run_again(state: StateManager, session: SessionRecord) -> None:
    old = open_run(state, session, key="k1")
    end_run(state, old.id)
    newer = open_run(state, session, key="k2")
    assert again(state, newer.id, "ada") == again(state, old.id, "ada") == ()
    assert not any(row.event == "run.superseded" for row in state.list_audit(entity="run"))


def test_many_runs_are_cancelled_in_one_transaction_and_those_that_ended_are_left(
    state: StateManager, session: SessionRecord
) -> None:
    ended = open_run(state, session, "qsirecon")
    end_run(state, ended.id)
    waiting, flying = open_run(state, session), open_run(state, session, "qsiparc")
    attempt = submit(state, flying.id)
    numbers = [ended.id, waiting.id, flying.id]
    assert state.cancel_runs(numbers, reason="wrong", actor="ada") == (waiting.id, flying.id)
    assert state.cancel_runs(numbers, reason="wrong", actor="bob") == ()
    assert [item.id for item in state.open_attempts_of(numbers)] == [attempt.id]  # until its job has ended


def test_a_cancelled_run_that_is_run_again_waits_for_the_end_of_its_job(
    state: StateManager, session: SessionRecord
) -> None:
    run = open_run(state, session)
    submit(state, run.id)
    state.cancel_runs([run.id], reason="again", actor="ada")
    assert again(state, run.id, "ada") == (run.id,)
    new = open_run(state, session)
    assert try_claim(state, new.id) is None


class TestPriorities:
    def test_a_new_run_takes_over_that_of_the_run_before_it(self, state: StateManager, session: SessionRecord) -> None:
        run = open_run(state, session)
        assert state.set_run_priorities([run.id], 10, reason="first", actor="ada") == (run.id,)
        assert state.set_run_priorities([run.id], 10, reason="first", actor="bob") == ()
        end_run(state, run.id, success=False)
        again(state, run.id, "ada")
        assert open_run(state, session).priority == 10
        (row,) = [row for row in state.list_audit(entity="run", entity_id=run.id) if row.event == "run.priority"]
        assert (row.actor, row.before, row.after, row.reason) == ("ada", "0", "10", "first")

    def test_an_ended_run_has_none_to_set(self, state: StateManager, session: SessionRecord) -> None:
        run = open_run(state, session)
        end_run(state, run.id)
        assert state.set_run_priorities([run.id], 10, reason="", actor="ada") == ()

    def test_that_of_a_subject_is_for_its_present_and_future_runs(
        self, state: StateManager, session: SessionRecord
    ) -> None:
        other = add_session(state, "02")
        ended, open_now = open_run(state, session), open_run(state, session, "qsirecon")
        end_run(state, ended.id)
        changed = state.set_subject_priorities([session.subject_id], -10, reason="later", actor="ada")
        assert changed == (session.subject_id,)
        assert state.set_subject_priorities([session.subject_id], -10, reason="later", actor="ada") == ()
        assert state.get_subject("01").priority == -10
        assert state.get_run(open_now.id).priority == -10
        again(state, ended.id, "ada")
        assert open_run(state, session).priority == -10
        assert open_run(state, session, "qsiparc").priority == -10
        assert open_run(state, other).priority == 0
        assert {run.priority for run in state.list_runs(subject="02", status=OPEN_RUN_STATUSES)} == {0}


def test_a_run_that_waits_for_its_next_attempt_is_brought_on_once(state: StateManager, session: SessionRecord) -> None:
    run = open_run(state, session)
    later = RetryDecision(
        RunStatus.RETRY_WAIT, "tried again", counted=True, next_attempt_at=datetime(2999, 1, 1, tzinfo=UTC)
    )
    assert state.record_verdict(submit(state, run.id).id, FAILURE, later, None)
    assert state.hasten_runs([run.id], reason="disk mended", actor="ada") == (run.id,)
    hastened = state.get_run(run.id)
    assert hastened.status is RunStatus.RETRY_WAIT
    assert hastened.next_attempt_at is not None
    assert hastened.next_attempt_at.year < 2999
    last = max(state.list_audit(entity="run", entity_id=run.id), key=lambda row: row.id)
    assert (last.event, last.actor, last.reason) == ("run.hastened", "ada", "disk mended")
    submit(state, run.id)
    assert state.hasten_runs([run.id], reason="again", actor="bob") == (), "its attempt is under way"
