"""The scheduler's view: complete in what it decides by, and cheap however long the history is."""

from __future__ import annotations

from sqlalchemy import event

from neuroflow.core.database import Database
from neuroflow.core.state import StateManager
from neuroflow.domain import RunStatus
from tests.core.conftest import FakeClock
from tests.support.states import add_session, end_run, open_run


def test_it_holds_open_runs_and_the_newest_ended_one_of_each_scope(state: StateManager, clock: FakeClock) -> None:
    session, other = add_session(state, "01"), add_session(state, "02")
    old = open_run(state, session, key="k1")
    end_run(state, old.id)
    newest = open_run(state, session, key="k2")
    end_run(state, newest.id, success=False)
    opened = open_run(state, session, key="k3")
    done = open_run(state, other, key="k1")
    end_run(state, done.id)
    recon = open_run(state, session, "qsirecon")
    snapshot = state.snapshot()
    assert {run.id for run in snapshot.runs} == {newest.id, opened.id, done.id, recon.id}
    assert {item.scope for item in snapshot.sessions} == {"sub-01/ses-a", "sub-02/ses-a"}
    assert snapshot.now == clock.now


def test_its_runs_are_those_of_get_run_but_for_what_is_large(state: StateManager) -> None:
    session = add_session(state)
    failed = open_run(state, session, "qsirecon")
    state.update_pipeline_run(failed.id, metrics={"n": 1})
    end_run(state, failed.id, success=False)
    opened = open_run(state, session)
    by_id = {run.id: run for run in state.snapshot().runs}
    assert by_id[opened.id] == state.get_run(opened.id)
    seen, whole = by_id[failed.id], state.get_run(failed.id)
    assert (seen.metrics, seen.error_message) == ({}, "")
    assert (whole.metrics, whole.error_message) == ({"n": 1}, "exit code 1")
    for name in ("status", "reason", "inputs_key", "superseded", "failure", "attempts", "scope", "updated_at"):
        assert getattr(seen, name) == getattr(whole, name)


def test_the_number_of_queries_does_not_grow(state: StateManager, database: Database) -> None:
    statements: list[str] = []

    def remember(_c: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    event.listen(database._engine, "before_cursor_execute", remember)
    counts = []
    for subject in ("01", "02", "03"):
        session = add_session(state, subject)
        end_run(state, open_run(state, session).id)
        open_run(state, session, key="k2")
        statements.clear()
        assert RunStatus.PENDING in {run.status for run in state.snapshot().runs}
        counts.append(len([text for text in statements if "SELECT" in text]))
    assert len(set(counts)) == 1
    assert counts[0] <= 5
