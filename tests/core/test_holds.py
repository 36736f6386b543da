"""Holds: set once, released once, and never on old evidence."""

from __future__ import annotations

import threading

from neuroflow.core.database import Database
from neuroflow.core.state import StateManager
from neuroflow.domain import PipelineHold
from tests.core.conftest import FakeClock
from tests.support.databases import BUSY_SECONDS


def test_a_pipeline_that_never_was_held(state: StateManager) -> None:
    assert state.pipeline_hold("qsiprep") is None
    assert not state.release_pipeline("qsiprep", reason="r")


def test_it_is_held_and_released_once(state: StateManager, clock: FakeClock) -> None:
    assert state.hold_pipeline("qsiprep", reason="new image", actor="ada")
    held = clock.now
    clock.advance(minutes=1)
    assert not state.hold_pipeline("qsiprep", reason="other")
    assert state.pipeline_hold("qsiprep") == PipelineHold(True, "new image", held)
    assert state.release_pipeline("qsiprep", reason="done", actor="bob")
    assert not state.release_pipeline("qsiprep", reason="done")
    assert state.pipeline_hold("qsiprep") == PipelineHold(False, "done", clock.now)
    events = [(entry.event, entry.actor, entry.after) for entry in state.list_audit(entity="pipeline")]
    assert events == [("pipeline.held", "ada", "qsiprep"), ("pipeline.released", "bob", "qsiprep")]


def test_a_release_since_the_evidence_was_read_keeps_it_free(state: StateManager, clock: FakeClock) -> None:
    seen = state.pipeline_hold("qsiprep")
    state.hold_pipeline("qsiprep", reason="site")
    clock.advance(minutes=1)
    state.release_pipeline("qsiprep", reason="mended")
    assert not state.hold_pipeline_as_seen("qsiprep", seen=seen, reason="old evidence")
    assert state.hold_pipeline_as_seen("qsiprep", seen=state.pipeline_hold("qsiprep"), reason="new evidence")


def test_of_many_at_once_one_holds_it(database_url: str) -> None:
    databases = [Database(database_url, BUSY_SECONDS) for _ in range(4)]
    states = [StateManager(database) for database in databases]
    seen = states[0].pipeline_hold("qsiprep")
    barrier = threading.Barrier(len(states))
    won: list[bool] = []

    def work(state: StateManager) -> None:
        barrier.wait()
        won.append(state.hold_pipeline_as_seen("qsiprep", seen=seen, reason="alike"))

    threads = [threading.Thread(target=work, args=(state,)) for state in states]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False, False, False, True]
    assert len(states[0].list_audit(entity="pipeline")) == 1
    for database in databases:
        database.close()
