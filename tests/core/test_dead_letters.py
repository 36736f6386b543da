"""Dead letters: found, run again, resolved, counted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from neuroflow.core.state import StateManager
from neuroflow.domain import FailureClass, FailureCount, RunStatus, SessionRecord
from neuroflow.errors import NotFoundError
from tests.core.conftest import FakeClock
from tests.support.states import FAILURE, GIVE_UP, add_session, end_run, open_run, submit, try_claim


@pytest.fixture
def session(state: StateManager) -> SessionRecord:
    """A session that is ready."""
    return add_session(state)


def fail(
    state: StateManager,
    session: SessionRecord,
    pipeline: str = "bids_conversion",
    *,
    key: str = "k1",
    signature: str = "abc",
    failure: FailureClass = FailureClass.APPLICATION,
) -> int:
    run = open_run(state, session, pipeline, key=key)
    attempt = submit(state, run.id)
    assert state.record_verdict(attempt.id, replace(FAILURE, failure=failure), GIVE_UP, None, signature=signature)
    return run.id


def ids(state: StateManager) -> list[int]:
    return [run.id for run in state.dead_letters()]


def test_a_run_that_failed_for_good_is_one(state: StateManager, session: SessionRecord) -> None:
    run_id = fail(state, session)
    end_run(state, open_run(state, session, "qsirecon").id)
    open_run(state, session, "qsiparc")
    assert ids(state) == [run_id]
    assert state.dead_letters() == [state.get_run(run_id)]


def test_only_the_newest_of_a_scope_is_one(state: StateManager, session: SessionRecord) -> None:
    fail(state, session, key="k1")
    second = fail(state, session, key="k2")
    assert ids(state) == [second]
    open_run(state, session, key="k3")
    assert ids(state) == []


def test_a_withdrawn_run_hides_none(state: StateManager, session: SessionRecord) -> None:
    failed = fail(state, session, key="k1")
    later = open_run(state, session, key="k2")
    state.move_run(later.id, expected={RunStatus.PENDING}, to=RunStatus.CANCELLED, reason="withdrawn", superseded=True)
    assert ids(state) == [failed]


def test_a_later_run_that_a_person_cancelled_takes_its_place(state: StateManager, session: SessionRecord) -> None:
    fail(state, session, key="k1")
    state.cancel_run(open_run(state, session, key="k2").id, reason="enough", actor="ada")
    assert ids(state) == []


def test_they_are_filtered(state: StateManager, session: SessionRecord) -> None:
    first = fail(state, session, signature="abc")
    second = fail(state, session, "qsirecon", signature="def", failure=FailureClass.NO_OUTPUT)
    assert ids(state) == [second, first]
    assert [run.id for run in state.dead_letters(pipeline="qsirecon")] == [second]
    assert [run.id for run in state.dead_letters(signature="abc")] == [first]
    assert [run.id for run in state.dead_letters(failure=FailureClass.NO_OUTPUT)] == [second]
    assert state.dead_letters(pipeline="qsirecon", signature="abc") == []


def test_one_that_is_superseded_makes_way_for_a_new_run(state: StateManager, session: SessionRecord) -> None:
    run_id = fail(state, session)
    assert state.supersede_run(run_id, reason="new image", actor="ada")
    assert ids(state) == []
    entry = state.list_audit(entity="run", entity_id=run_id)[-1]
    assert (entry.event, entry.actor, entry.reason) == ("run.superseded", "ada", "new image")
    again = open_run(state, session)  # the same inputs
    assert (again.attempts, again.exclude_nodes, again.resources, again.signature) == (0, (), None, "")
    assert try_claim(state, again.id) is not None


def test_one_is_superseded_once(state: StateManager, session: SessionRecord) -> None:
    run_id = fail(state, session)
    assert state.supersede_run(run_id, reason="r", actor="ada")
    assert not state.supersede_run(run_id, reason="r", actor="bob")
    assert not state.resolve_run(run_id, resolution="r", actor="bob")


def test_one_that_is_resolved_stays_failed_and_is_listed_no_more(
    state: StateManager, session: SessionRecord, clock: FakeClock
) -> None:
    run_id = fail(state, session)
    clock.advance(hours=1)
    assert state.resolve_run(run_id, resolution="no diffusion scan", actor="ada")
    run = state.get_run(run_id)
    assert (run.status, run.superseded, run.resolution) == (RunStatus.FAILED, False, "no diffusion scan")
    assert run.updated_at == clock.now
    assert ids(state) == []
    entry = state.list_audit(entity="run", entity_id=run_id)[-1]
    assert (entry.event, entry.actor, entry.reason) == ("run.resolved", "ada", "no diffusion scan")
    assert not state.resolve_run(run_id, resolution="other", actor="bob")
    assert state.get_run(run_id).resolution == "no diffusion scan"


def test_what_is_none_is_left_alone(state: StateManager, session: SessionRecord) -> None:
    older = fail(state, session, key="k1")
    newer = open_run(state, session, key="k2")
    for run_id in (older, newer.id):
        assert not state.supersede_run(run_id, reason="r", actor="ada")
        assert not state.resolve_run(run_id, resolution="r", actor="ada")
    assert state.get_run(newer.id) == newer


def test_a_missing_run_is_named(state: StateManager) -> None:
    with pytest.raises(NotFoundError, match="no run 7"):
        state.supersede_run(7, reason="r", actor="ada")


def test_failures_are_counted_by_pipeline_and_class(state: StateManager, session: SessionRecord) -> None:
    run = open_run(state, session)
    again = replace(GIVE_UP, status=RunStatus.RETRY_WAIT)
    state.record_verdict(submit(state, run.id).id, FAILURE, again, None)
    state.record_verdict(submit(state, run.id).id, FAILURE, GIVE_UP, None)
    other = add_session(state, "02")
    fail(state, other, failure=FailureClass.TIMEOUT)
    resolved = fail(state, add_session(state, "03"))
    state.resolve_run(resolved, resolution="r", actor="ada")
    refused = open_run(state, other, "qsirecon")
    state.move_run(
        refused.id,
        expected={RunStatus.PENDING},
        to=RunStatus.FAILED,
        reason="no dwi",
        failure=FailureClass.BAD_INPUT,
        signature="def",
    )
    end_run(state, open_run(state, session, "qsirecon").id)
    assert state.failure_counts() == [
        FailureCount("bids_conversion", FailureClass.APPLICATION, attempts=3, runs=2, dead_letters=1),
        FailureCount("bids_conversion", FailureClass.TIMEOUT, attempts=1, runs=1, dead_letters=1),
        FailureCount("qsirecon", FailureClass.BAD_INPUT, attempts=0, runs=1, dead_letters=1),
    ]
    assert [run.signature for run in state.dead_letters(pipeline="qsirecon")] == ["def"]


def test_nothing_failed(state: StateManager) -> None:
    assert state.failure_counts() == []
    assert state.dead_letters() == []
