"""Everything that ever happened, as a report reads it."""

from __future__ import annotations

import pytest

from neuroflow.core import history
from neuroflow.core.state import StateManager
from neuroflow.domain import AttemptStatus, RunStatus, SessionStatus
from tests.support.states import RESOURCES, add_session, end_run, open_run


def test_all_of_it_comes_in_pieces_and_in_order(state: StateManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "_ROWS_PER_READ", 2)
    for subject in ("01", "02", "03"):
        session = add_session(state, subject, "a")
        end_run(state, open_run(state, session).id, success=subject != "02")
    found = state.history()
    assert [(one.subject, one.label, one.status) for one in found.sessions] == [
        (subject, "a", SessionStatus.READY) for subject in ("01", "02", "03")
    ]
    assert [one.status for one in found.runs] == [RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.COMPLETED]
    assert [(one.run_id, one.status) for one in found.attempts] == [
        (found.runs[0].id, AttemptStatus.SUCCEEDED),
        (found.runs[1].id, AttemptStatus.FAILED),
        (found.runs[2].id, AttemptStatus.SUCCEEDED),
    ]
    assert found.attempts[0].resources == RESOURCES
    assert found.attempts[0].ended_at is not None


def test_of_some_subjects_only_theirs(state: StateManager) -> None:
    for subject in ("01", "02"):
        end_run(state, open_run(state, add_session(state, subject, "a")).id)
    found = state.history(subjects=["02"])
    assert [one.subject for one in found.sessions] == ["02"]
    assert (len(found.runs), len(found.attempts)) == (1, 1)
    assert state.history(subjects=["03"]).runs == ()


def test_long_texts_are_cut(state: StateManager) -> None:
    run = open_run(state, add_session(state, "01", "a"))
    state.cancel_run(run.id, reason="x" * 5000, actor="ada")
    assert [len(one.reason) for one in state.history().runs] == [history.LONGEST_TEXT]
