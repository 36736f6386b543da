"""Which runs and sessions a person means, on each database."""

from __future__ import annotations

from datetime import timedelta

import pytest

from neuroflow.core.state import SeenAttempt, StateManager
from neuroflow.domain import FailureClass, RunFilter, RunStatus, Scopes
from neuroflow.errors import NotFoundError
from tests.core.conftest import FakeClock
from tests.support.states import SUCCESS, add_session, end_run, open_run, submit


@pytest.fixture
def ids(state: StateManager, clock: FakeClock) -> dict[str, int]:
    """Runs by a name: of 01/a one that failed and has been followed, of 01/b and 02/a others."""
    a, b, other = (add_session(state, *labels) for labels in (("01", "a"), ("01", "b"), ("02", "a")))
    made = {}
    made["followed"] = open_run(state, a, key="k1").id
    end_run(state, made["followed"], success=False)
    made["newest"] = open_run(state, a, key="k2").id
    end_run(state, made["newest"], success=False)
    made["recon"] = open_run(state, a, "qsirecon").id
    made["done"] = open_run(state, b).id
    end_run(state, made["done"])
    clock.advance(days=3)
    made["late"] = open_run(state, other).id
    end_run(state, made["late"], success=False)
    return made


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (RunFilter(), ["newest", "recon", "done", "late"]),
        (RunFilter(statuses=frozenset({RunStatus.FAILED})), ["newest", "late"]),
        (RunFilter(pipeline="qsirecon"), ["recon"]),
        (RunFilter(failure=FailureClass.APPLICATION), ["newest", "late"]),
        (RunFilter(failure=FailureClass.TIMEOUT), []),
        (RunFilter(signature="none such"), []),
        (RunFilter(subjects=("02", "03")), ["late"]),
        (RunFilter(sessions=("b",)), ["done"]),
    ],
)
def test_runs_are_found_by_what_is_said_of_them(
    state: StateManager, ids: dict[str, int], wanted: RunFilter, names: list[str]
) -> None:
    assert [run.id for run in state.select_runs(wanted)] == sorted(ids[name] for name in names)


def test_runs_are_found_by_when_they_changed_and_where(
    state: StateManager, ids: dict[str, int], clock: FakeClock
) -> None:
    def found(wanted: RunFilter) -> list[int]:
        return [run.id for run in state.select_runs(wanted)]

    assert found(RunFilter(since=clock.now - timedelta(days=1))) == [ids["late"]]
    other = state.find_session("02", "a")
    assert other is not None
    run = state.get_run(ids["done"])
    scopes = Scopes(frozenset({other.subject_id}), frozenset({run.session_id or 0}))
    assert found(RunFilter(scopes=scopes)) == sorted([ids["late"], ids["done"]])
    assert found(RunFilter(scopes=Scopes())) == []


def test_a_run_that_is_to_be_run_again_is_not_found_a_second_time(state: StateManager, ids: dict[str, int]) -> None:
    failed = RunFilter(statuses=frozenset({RunStatus.FAILED}))
    state.supersede_run(ids["newest"], reason="mended", actor="ada")
    assert [run.id for run in state.select_runs(failed)] == [ids["late"]]


def test_the_view_of_some_subjects_is_that_of_all_cut_down(state: StateManager, ids: dict[str, int]) -> None:
    subject = state.get_subject("01")
    whole, part = state.snapshot(), state.snapshot_of([subject.id])
    assert {run.id for run in part.runs} == {run.id for run in whole.runs if run.subject == "01"}
    assert part.sessions == tuple(item for item in whole.sessions if item.subject == "01")
    assert {run.id for run in state.present_runs([subject.id])} == {ids[one] for one in ("newest", "recon", "done")}
    assert ids["late"] in {run.id for run in whole.runs}


def test_many_sessions_are_taken_out_at_once_or_none(state: StateManager) -> None:
    sessions = [add_session(state, "01", label) for label in ("a", "b")]
    numbers = [session.id for session in sessions]
    with pytest.raises(NotFoundError, match="no session with the id 99"):
        state.set_sessions_excluded([*numbers, 99], True, reason="moved", actor="ada")
    assert {session.status for session in state.list_sessions()} == {"ready"}
    assert state.set_sessions_excluded(numbers, True, reason="moved", actor="ada") == tuple(numbers)
    assert state.set_sessions_excluded(numbers, True, reason="again", actor="bob") == ()
    (row,) = (
        row for row in state.list_audit(entity="session", entity_id=numbers[0]) if row.event == "session.excluded"
    )
    assert (row.actor, row.reason, row.before, row.after) == ("ada", "moved", "ready", "excluded")


def test_what_successful_attempts_took_is_told_by_pipeline(state: StateManager, clock: FakeClock) -> None:
    run = open_run(state, add_session(state))
    attempt = submit(state, run.id)
    state.record_sightings([SeenAttempt(attempt.id, word="RUNNING", reason="", running=True, seen=True)])
    clock.advance(hours=3)
    state.record_verdict(attempt.id, SUCCESS, None, None)
    spent = state.typical_use()["bids_conversion"]
    assert (spent.attempts, round(spent.hours, 3), spent.cpus) == (1, 3.0, 2)
