"""Workflow runs, reruns, the audit log, values and leases."""

from __future__ import annotations

import pytest

from neuroflow.core.state import StateManager
from neuroflow.domain import Level, RunProposal, SessionRecord, WorkflowStatus
from neuroflow.errors import IllegalMoveError, NotFoundError
from tests.core.conftest import FakeClock
from tests.support.states import add_session, end_run, open_run, submit


@pytest.fixture
def session(state: StateManager) -> SessionRecord:
    """A session that is ready."""
    return add_session(state)


def open_subject_run(state: StateManager, session: SessionRecord, key: str = "k1") -> int:
    proposal = RunProposal(
        "qsiprep", Level.SUBJECT, f"sub-{session.subject}", session.subject_id, None, key, "first run"
    )
    run = state.open_run(proposal)
    assert run is not None
    return run.id


def test_a_workflow_run_ends_once(state: StateManager, clock: FakeClock) -> None:
    started = state.start_workflow_run()
    assert started.status is WorkflowStatus.RUNNING
    clock.advance(minutes=3)
    stages = ("discovery", "bids_conversion")
    assert state.finish_workflow_run(
        started.id, status=WorkflowStatus.FAILED, stages_completed=stages, tasks_queued=4, error="no sbatch"
    )
    ended = state.get_workflow_run(started.id)
    assert (ended.status, ended.stages_completed, ended.tasks_queued) == (WorkflowStatus.FAILED, stages, 4)
    assert (ended.error, ended.ended_at) == ("no sbatch", clock.now)
    assert not state.cancel_workflow_run(started.id, actor="ada")
    assert state.get_workflow_run(started.id) == ended


def test_a_workflow_run_can_be_cancelled(state: StateManager) -> None:
    first, second = state.start_workflow_run(), state.start_workflow_run()
    assert state.cancel_workflow_run(first.id, actor="ada")
    assert [run.status for run in state.list_workflow_runs()] == [WorkflowStatus.RUNNING, WorkflowStatus.CANCELLED]
    assert [run.id for run in state.list_workflow_runs(1)] == [second.id]
    assert state.list_audit(entity="workflow_run", entity_id=first.id)[-1].actor == "ada"


def test_a_workflow_run_is_not_finished_as_running(state: StateManager) -> None:
    run = state.start_workflow_run()
    with pytest.raises(IllegalMoveError, match="can't become running"):
        state.finish_workflow_run(run.id, status=WorkflowStatus.RUNNING, stages_completed=(), tasks_queued=0)


def test_a_missing_workflow_run_is_named(state: StateManager) -> None:
    with pytest.raises(NotFoundError, match="no workflow run 3"):
        state.get_workflow_run(3)
    with pytest.raises(NotFoundError, match="no workflow run 3"):
        state.cancel_workflow_run(3, actor="ada")


def test_rerun_supersedes_every_failed_run_of_the_session_and_its_subject(
    state: StateManager, session: SessionRecord
) -> None:
    neighbour = add_session(state, "01", "b")
    completed = open_run(state, session)
    end_run(state, completed.id)
    prep = open_subject_run(state, session)
    end_run(state, prep, success=False)
    old = open_run(state, session, "qsirecon", key="k1")
    end_run(state, old.id, success=False)
    newest = open_run(state, session, "qsirecon", key="k2")
    end_run(state, newest.id, success=False)
    elsewhere = open_run(state, neighbour, "qsirecon")
    end_run(state, elsewhere.id, success=False)
    assert state.mark_session_for_rerun(session.id, "new image", actor="ada") == [prep, newest.id]
    superseded = {run.id for run in state.list_runs() if run.superseded}
    assert superseded == {prep, newest.id}
    assert state.mark_session_for_rerun(session.id, "again") == []
    rows = state.list_audit(entity="run", entity_id=prep)
    assert (rows[-1].event, rows[-1].actor, rows[-1].reason) == ("run.superseded", "ada", "new image")


def test_rerun_without_failures_begins_with_the_conversion(state: StateManager, session: SessionRecord) -> None:
    conversion, recon = open_run(state, session), open_run(state, session, "qsirecon")
    end_run(state, conversion.id)
    end_run(state, recon.id)
    assert state.mark_session_for_rerun(session.id, "new heuristic") == [conversion.id]


def test_rerun_leaves_open_runs_alone(state: StateManager, session: SessionRecord) -> None:
    conversion = open_run(state, session)
    end_run(state, conversion.id)
    again = open_run(state, session, key="k2")
    submit(state, again.id)
    assert state.mark_session_for_rerun(session.id, "x", pipeline="bids_conversion") == []
    assert state.mark_session_for_rerun(session.id, "x") == []
    assert not any(run.superseded for run in state.list_runs())


def test_rerun_of_a_missing_session_is_refused(state: StateManager) -> None:
    with pytest.raises(NotFoundError, match="no session with the id 9"):
        state.mark_session_for_rerun(9, "x")


def test_audit_rows_are_listed_oldest_first_and_limited_to_the_newest(state: StateManager, clock: FakeClock) -> None:
    for number in range(3):
        state.add_audit("pipeline.held", entity="pipeline", entity_id=None, after=f"p{number}", reason="licence")
    state.add_audit("note", entity="session", entity_id=7, reason="r", details={"file": "x", "n": [1, 2]}, actor="ada")
    assert [row.after for row in state.list_audit(entity="pipeline")] == ["p0", "p1", "p2"]
    assert [row.after for row in state.list_audit(entity="pipeline", limit=2)] == ["p1", "p2"]
    (row,) = state.list_audit(entity="session", entity_id=7)
    assert (row.details, row.actor, row.at) == ({"file": "x", "n": [1, 2]}, "ada", clock.now)


def test_a_value_is_replaced(state: StateManager, clock: FakeClock) -> None:
    assert state.get_value("poll") is None
    state.set_value("poll", {"jobs": 3})
    clock.advance(minutes=1)
    state.set_value("poll", {"jobs": 4, "nested": {"a": [1]}})
    assert state.get_value("poll") == ({"jobs": 4, "nested": {"a": [1]}}, clock.now)


def test_a_lease_has_one_owner_until_it_expires(state: StateManager, clock: FakeClock) -> None:
    assert state.acquire_lease("beat", owner="a", seconds=60)
    assert not state.acquire_lease("beat", owner="b", seconds=60)
    clock.advance(seconds=59)
    assert state.acquire_lease("beat", owner="a", seconds=60)
    clock.advance(seconds=59)
    assert not state.acquire_lease("beat", owner="b", seconds=60)
    clock.advance(seconds=1)
    assert state.acquire_lease("beat", owner="b", seconds=60)
    assert not state.release_lease("beat", "a")
    assert state.release_lease("beat", "b")
    assert state.acquire_lease("beat", owner="a", seconds=60)
