"""The audit log is read by what its rows are about."""

from __future__ import annotations

from datetime import timedelta

from neuroflow.core.state import AuditFilter, StateManager
from tests.core.conftest import FakeClock
from tests.support.states import add_session, open_run, proposal, try_claim


def events(state: StateManager, wanted: AuditFilter) -> list[tuple[str, str]]:
    return [(row.entity, row.event) for row in state.find_audit(wanted)]


def test_a_subject_has_the_rows_of_its_sessions_and_runs(state: StateManager) -> None:
    session, other = add_session(state, "01", "a"), add_session(state, "02", "a")
    run, foreign = open_run(state, session), open_run(state, other)
    assert try_claim(state, run.id) is not None
    state.cancel_run(run.id, reason="enough", actor="ada")
    state.set_session_excluded(session.id, True, reason="moved", actor="bob")

    found = state.find_audit(AuditFilter(subject_id=session.subject_id))
    assert {row.entity_id for row in found if row.entity == "run"} == {run.id}
    assert ("session", "session.excluded") in events(state, AuditFilter(session_id=session.id))
    assert {row.entity for row in state.find_audit(AuditFilter(run_ids=(run.id,)))} <= {"run", "attempt"}
    assert [row.id for row in found] == sorted(row.id for row in found)
    assert not [row for row in found if row.entity == "run" and row.entity_id == foreign.id]
    assert [row.actor for row in state.find_audit(AuditFilter(actor="ada"))] == ["ada"]
    by_people = state.find_audit(AuditFilter(subject_id=session.subject_id, by_people=True))
    assert [row.actor for row in by_people] == ["ada", "bob"], "the program's own steps are left out"
    assert {event for _, event in events(state, AuditFilter(event="session."))} >= {"session.excluded"}
    assert events(state, AuditFilter(event="sess_on.")) == [], "no pattern of SQL's"


def test_the_newest_come_first_into_the_limit(state: StateManager) -> None:
    run = open_run(state, add_session(state))
    state.cancel_run(run.id, reason="enough", actor="ada")
    everything = state.find_audit(AuditFilter())
    assert state.find_audit(AuditFilter(limit=2)) == everything[-2:]


def test_pages_hold_what_the_limit_lets_through_in_the_same_order(state: StateManager) -> None:
    run = open_run(state, add_session(state))
    state.cancel_run(run.id, reason="enough", actor="ada")
    for wanted in (AuditFilter(limit=3), AuditFilter(limit=1000), AuditFilter(actor="neuroflow", limit=1000)):
        pages = list(state.audit_pages(wanted, size=2))
        assert [row for page in pages for row in page] == state.find_audit(wanted)
        assert {len(page) for page in pages} <= {1, 2}
    assert list(state.audit_pages(AuditFilter(actor="nobody"), size=2)) == []
    assert list(state.audit_pages(AuditFilter(run_ids=(run.id,)), size=1)) == [
        state.find_audit(AuditFilter(run_ids=(run.id,)))
    ]


def test_rows_since_a_moment_are_found_without_reading_all(state: StateManager, clock: FakeClock) -> None:
    session = add_session(state)
    for _ in range(20):
        clock.advance(minutes=1)
        state.set_session_excluded(session.id, True, reason="", actor="a")
        state.set_session_excluded(session.id, False, reason="", actor="a")
    since = clock() - timedelta(minutes=4)
    found = state.find_audit(AuditFilter(since=since))
    assert len(found) == 10
    assert all(row.at >= since for row in found)
    assert state.find_audit(AuditFilter(since=clock() + timedelta(days=1))) == []


def test_an_empty_database_has_nothing_to_tell(state: StateManager, clock: FakeClock) -> None:
    assert state.find_audit(AuditFilter(since=clock())) == []
    assert state.find_audit(AuditFilter(subject_id=1, session_id=None)) == []
    assert state.runs_opened_by(1) == []


def test_a_workflow_run_has_the_runs_that_it_opened(state: StateManager) -> None:
    workflow = state.start_workflow_run()
    session = add_session(state)
    run = state.open_run(proposal(session), workflow_run_id=workflow.id)
    assert run is not None
    assert state.runs_opened_by(workflow.id) == [run.id]
    other = open_run(state, add_session(state, "02"))
    found = state.find_audit(AuditFilter(opened_by=workflow.id))
    assert {(row.entity, row.entity_id) for row in found} == {("run", run.id)} != {("run", other.id)}
    assert [row.entity for row in state.find_audit(AuditFilter(workflow_run_id=workflow.id))] == ["workflow_run"]
