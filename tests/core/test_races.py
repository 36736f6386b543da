"""What holds when many workers do the same thing at the same moment, on each database."""

from __future__ import annotations

from functools import partial

import pytest

from neuroflow.core.database import Database
from neuroflow.core.schema import revisions
from neuroflow.core.state import SeenAttempt, StateManager
from neuroflow.domain import IN_FLIGHT_RUN_STATUSES, FoundSession, RunRecord, RunStatus, SessionRecord
from tests.core.racers import claim_in_processes, race, upgrade_in_processes, write_across_a_fork
from tests.support.states import FAILURE, GIVE_UP, SUCCESS, add_session, found, open_run, proposal, submit, try_claim

WORKERS = 8


@pytest.fixture
def session(state: StateManager) -> SessionRecord:
    """A session that is ready."""
    return add_session(state)


def runs_of_one_pipeline(state: StateManager, count: int) -> list[RunRecord]:
    sessions: list[FoundSession] = [found(f"{number:02}") for number in range(count)]
    state.record_scan(sessions, settle_minutes=0)
    return [open_run(state, record) for record in state.list_sessions()]


def in_flight(state: StateManager) -> int:
    return len(state.list_runs(status=IN_FLIGHT_RUN_STATUSES))


def test_one_worker_wins_a_claim(state: StateManager, session: SessionRecord, database_url: str) -> None:
    run = open_run(state, session)
    claims = race(database_url, [partial(try_claim, run_id=run.id)] * WORKERS)
    assert sum(attempt is not None for attempt in claims) == 1
    assert len(state.attempts_of(run.id)) == 1


@pytest.mark.slow
def test_one_process_wins_a_claim(state: StateManager, session: SessionRecord, database_url: str) -> None:
    run = open_run(state, session)
    assert claim_in_processes(database_url, [run.id], processes=4, limit=10) == [run.id]
    assert len(state.attempts_of(run.id)) == 1


def test_the_limit_holds_between_threads(state: StateManager, database_url: str) -> None:
    runs = runs_of_one_pipeline(state, WORKERS)
    claims = race(database_url, [partial(try_claim, run_id=run.id, limit=3) for run in runs])
    assert sum(attempt is not None for attempt in claims) == 3
    assert in_flight(state) == 3


@pytest.mark.slow
def test_the_limit_holds_between_processes(state: StateManager, database_url: str) -> None:
    runs = runs_of_one_pipeline(state, 6)
    won = claim_in_processes(database_url, [run.id for run in runs], processes=4, limit=3)
    assert len(won) == len(set(won)) == 3
    assert in_flight(state) == 3


def test_one_worker_opens_a_run(state: StateManager, session: SessionRecord, database_url: str) -> None:
    def open_it(worker: StateManager) -> RunRecord | None:
        return worker.open_run(proposal(session))

    opened = race(database_url, [open_it] * WORKERS)
    assert sum(run is not None for run in opened) == 1
    assert len(state.list_runs()) == 1


def test_one_worker_records_a_verdict(state: StateManager, session: SessionRecord, database_url: str) -> None:
    run = open_run(state, session)
    attempt = submit(state, run.id)

    def judge(worker: StateManager, success: bool) -> bool:
        verdict, decision = (SUCCESS, None) if success else (FAILURE, GIVE_UP)
        return worker.record_verdict(attempt.id, verdict, decision, None)

    answers = race(database_url, [partial(judge, success=number % 2 == 0) for number in range(WORKERS)])
    assert answers.count(True) == 1
    ended = state.get_run(run.id)
    assert ended.status is (RunStatus.COMPLETED if answers.index(True) % 2 == 0 else RunStatus.FAILED)
    assert ended.attempts == 1
    assert len([row for row in state.list_audit(entity="run") if row.after == ended.status]) == 1


def test_a_cancelled_run_stays_so_whoever_comes_first(
    state: StateManager, session: SessionRecord, database_url: str
) -> None:
    run = open_run(state, session)
    attempt = submit(state, run.id)

    def cancel(worker: StateManager) -> bool:
        return worker.move_run(run.id, expected=IN_FLIGHT_RUN_STATUSES, to=RunStatus.CANCELLED, reason="x")

    def judge(worker: StateManager) -> bool:
        return worker.record_verdict(attempt.id, SUCCESS, None, None)

    answers = race(database_url, [cancel, judge, cancel, judge])
    assert answers[1] != answers[3]
    expected = RunStatus.CANCELLED if True in (answers[0], answers[2]) else RunStatus.COMPLETED
    assert state.get_run(run.id).status is expected


def test_a_claim_and_a_cancellation_do_not_lock_each_other_out(
    state: StateManager, session: SessionRecord, database_url: str
) -> None:
    run = open_run(state, session)
    attempt = submit(state, run.id)

    def sight(worker: StateManager) -> bool:
        worker.record_sightings([SeenAttempt(attempt.id, word="RUNNING", reason="", running=True, seen=True)])
        return True

    def cancel(worker: StateManager) -> bool:
        return worker.cancel_run(run.id, reason="x", actor="ada").status is RunStatus.CANCELLED

    assert all(race(database_url, [sight, cancel] * 4))


def test_scans_at_once_find_each_session_once(state: StateManager, database_url: str) -> None:
    sessions = [found(f"{number:02}", label) for number in range(20) for label in ("a", "b")]

    def scan(worker: StateManager) -> int:
        return worker.record_scan(sessions, settle_minutes=0).new

    assert sorted(race(database_url, [scan] * 4)) == [0, 0, 0, 40]
    assert len(state.list_sessions()) == 40
    assert len(state.list_subjects()) == 20


def test_a_callback_and_a_lease_have_one_taker(state: StateManager, session: SessionRecord, database_url: str) -> None:
    run = open_run(state, session)
    marks = race(database_url, [lambda worker: worker.mark_callback(run.id, "success")] * WORKERS)
    assert marks.count(True) == 1
    owners = [f"w{number}" for number in range(WORKERS)]

    def take(worker: StateManager, owner: str) -> bool:
        return worker.acquire_lease("beat", owner=owner, seconds=600)

    assert race(database_url, [partial(take, owner=owner) for owner in owners]).count(True) == 1


@pytest.mark.slow
def test_services_that_upgrade_at_once_agree(empty_url: str) -> None:
    assert upgrade_in_processes(empty_url, processes=3) == [revisions()[0]] * 3
    database = Database(empty_url)
    database.check()
    database.close()


@pytest.mark.slow
def test_a_forked_worker_opens_connections_of_its_own(database_url: str) -> None:
    assert write_across_a_fork(database_url) == 40
