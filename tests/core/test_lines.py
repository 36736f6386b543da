"""Where a run stands in line, which others failed alike, and a subject's own part of the snapshot."""

from __future__ import annotations

from dataclasses import replace

import pytest

from neuroflow.core.state import StateManager
from neuroflow.domain import Line, RetryDecision, RunRecord, RunStatus
from neuroflow.errors import NotFoundError
from tests.core.conftest import FakeClock
from tests.support.states import FAILURE, GIVE_UP, add_session, end_run, found, open_run, submit


def id_of(run: RunRecord) -> int:
    return run.id


def fail(state: StateManager, run: RunRecord, signature: str, *, decision: RetryDecision = GIVE_UP) -> None:
    attempt = submit(state, run.id)
    assert state.record_verdict(attempt.id, FAILURE, decision, None, signature=signature)


class TestLine:
    def test_it_counts_those_in_flight_those_handed_over_and_those_before(self, state: StateManager) -> None:
        runs = [open_run(state, add_session(state, f"{number:02}")) for number in range(6)]
        submit(state, runs[0].id)
        state.move_run(runs[1].id, expected={RunStatus.PENDING}, to=RunStatus.QUEUED, reason="sent")
        end_run(state, runs[2].id)
        open_run(state, add_session(state, "99"), "qsirecon")  # of another pipeline
        assert state.line_of(runs[4]) == Line(in_flight=1, queued=1, before=1)
        assert state.line_of(runs[5]) == Line(in_flight=1, queued=1, before=2)

    def test_a_retry_stands_in_it_once_it_is_due(self, state: StateManager, clock: FakeClock) -> None:
        first, second = (open_run(state, add_session(state, subject)) for subject in ("01", "02"))
        clock.advance(minutes=1)
        due = RetryDecision(RunStatus.RETRY_WAIT, "again", counted=True, next_attempt_at=clock.now)
        later = replace(due, next_attempt_at=clock.now.replace(hour=23))
        fail(state, first, "s1", decision=later)
        assert state.line_of(second).before == 0
        clock.now = clock.now.replace(hour=23)
        assert state.line_of(second).before == 1


class TestAlike:
    def test_others_of_the_pipeline_with_the_signature_count(self, state: StateManager) -> None:
        runs = [open_run(state, add_session(state, f"{number:02}")) for number in range(4)]
        for run, signature in zip(runs, ("s1", "s1", "s2", "s1"), strict=True):
            fail(state, run, signature)
        other = open_run(state, add_session(state, "09"), "qsirecon")
        fail(state, other, "s1")
        state.supersede_run(runs[3].id, reason="mended", actor="anna")
        assert state.failed_alike(state.get_run(runs[0].id)) == 1
        assert state.failed_alike(state.get_run(runs[2].id)) == 0

    def test_without_a_signature_none_does(self, state: StateManager) -> None:
        run = open_run(state, add_session(state))
        assert state.failed_alike(run) == 0


def test_a_subjects_snapshot_is_its_part_of_the_whole(state: StateManager) -> None:
    sessions = [add_session(state, subject, label) for subject in ("01", "02") for label in ("a", "b")]
    for session in sessions:
        end_run(state, open_run(state, session, key="k1").id, success=False)
        end_run(state, open_run(state, session, key="k2").id)
        open_run(state, session, key="k3")
    subject = state.get_subject("02")
    whole, part = state.snapshot(), state.snapshot_of([subject.id])
    assert sorted(part.runs, key=id_of) == sorted(
        (one for one in whole.runs if one.subject_id == subject.id), key=id_of
    )
    assert part.sessions == tuple(one for one in whole.sessions if one.subject_id == subject.id)
    assert (len(part.runs), len(part.sessions)) == (4, 2)


def test_the_attempts_of_several_runs_come_by_run_and_in_order(state: StateManager) -> None:
    first, second, third = (open_run(state, add_session(state, subject)) for subject in ("01", "02", "03"))
    again = RetryDecision(RunStatus.RETRY_WAIT, "again", counted=True)
    fail(state, first, "s", decision=again)
    fail(state, first, "s")
    submit(state, second.id)
    found = state.attempts_of_all([first.id, second.id, third.id])
    assert {run_id: [one.number for one in tried] for run_id, tried in found.items()} == {
        first.id: [1, 2],
        second.id: [1],
        third.id: [],
    }


class TestGuesses:
    @pytest.mark.parametrize(
        ("asked", "meant"),
        [
            ("1", "001"),  # zeros
            ("0001", "001"),
            ("00l", "001"),  # another character
            ("010", "001"),  # in the other order
            ("pilto7", "pilot7"),
            ("pilot", "pilot7"),  # one is missing
            ("pilot77", "pilot7"),  # one too many
            ("PILOT7", "pilot7"),  # capitals
        ],
    )
    def test_a_subject_that_may_be_meant_is_named(self, state: StateManager, asked: str, meant: str) -> None:
        state.record_scan([found("001"), found("pilot7", path="/dicom/p")], settle_minutes=0)
        with pytest.raises(NotFoundError, match=rf"no subject '{asked}'\. Did you mean '{meant}'\?"):
            state.get_subject(asked)

    def test_far_off_nothing_is_guessed(self, state: StateManager) -> None:
        add_session(state, "001")
        with pytest.raises(NotFoundError, match=r"no subject 'control'$"):
            state.get_subject("control")

    def test_before_the_first_scan_that_is_the_hint(self, state: StateManager) -> None:
        with pytest.raises(NotFoundError) as none:
            state.get_subject("01")
        assert "`neuroflow scan` looks for them" in none.value.hint

    def test_an_unknown_run_tells_which_there_are(self, state: StateManager) -> None:
        with pytest.raises(NotFoundError) as none:
            state.get_run(7)
        run = open_run(state, add_session(state))
        with pytest.raises(NotFoundError) as one:
            state.get_run(7)
        assert "there are no runs yet" in none.value.hint
        assert one.value.hint == f"the only one is {run.id}; `neuroflow runs list` lists them"
