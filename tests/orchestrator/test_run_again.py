"""A dead letter that a person wants run again is opened, dispatched and claimed by the ordinary steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from neuroflow.domain import FailureClass, RetryDecision, RunRecord, RunStatus, Verdict, VerdictKind
from neuroflow.orchestrator.registry import Pipeline
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.steps import advance
from tests.chain.site import Site
from tests.support.states import SUCCESS, add_session, claim, submit

VERDICT = Verdict(VerdictKind.FAILED, "exit code 1: boom", failure=FailureClass.APPLICATION, exit_code=1)
GIVE_UP = RetryDecision(RunStatus.FAILED, "given up", counted=True, exclude_nodes=("cn1",))


@dataclass
class Sent:
    """A dispatcher that remembers what it was given."""

    runs: list[RunRecord] = field(default_factory=list)

    def send(self, runs: Sequence[RunRecord], pipeline: Pipeline) -> None:
        self.runs += runs


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """A small site with one session that is ready."""
    services = Site(tmp_path / "site").services()
    add_session(services.state, "01", "a")
    yield services
    services.database.close()


def step(services: Services) -> list[RunRecord]:
    """Look at the database once, and return what was dispatched."""
    sent = Sent()
    advance(services, sent)
    return sent.runs


def fail(services: Services, run_id: int) -> None:
    attempt = submit(services.state, run_id)
    assert services.state.record_verdict(attempt.id, VERDICT, GIVE_UP, None, signature="abc")


def test_a_session_level_run_starts_again_as_a_new_one(services: Services) -> None:
    (first,) = step(services)
    fail(services, first.id)
    assert step(services) == []  # it blocks its scope until a person asks

    assert services.state.supersede_run(first.id, reason="mended", actor="ada")
    (again,) = step(services)

    assert again.id > first.id
    assert (again.inputs_key, again.attempts, again.exclude_nodes, again.resources) == (first.inputs_key, 0, (), None)
    assert again.reason == "asked for again by ada: mended"
    assert claim(services.state, again.id).number == 1


def test_a_subject_level_run_starts_again_too(services: Services) -> None:
    (conversion,) = step(services)
    services.state.record_verdict(submit(services.state, conversion.id).id, SUCCESS, None, None)
    (prep,) = step(services)
    fail(services, prep.id)
    assert step(services) == []

    assert services.state.supersede_run(prep.id, reason="mended", actor="ada")
    (again,) = step(services)

    assert (again.pipeline, again.inputs_key) == ("qsiprep", prep.inputs_key)
    claim(services.state, again.id)


def test_a_held_pipeline_starts_it_once_it_goes_on(services: Services) -> None:
    (first,) = step(services)
    fail(services, first.id)
    services.hold(first.pipeline, reason="alike")
    services.state.supersede_run(first.id, reason="mended", actor="ada")
    assert step(services) == []
    services.release(first.pipeline, reason="mended")
    assert len(step(services)) == 1


def test_a_resolved_run_starts_nothing(services: Services) -> None:
    (first,) = step(services)
    fail(services, first.id)
    assert services.state.resolve_run(first.id, resolution="no diffusion scan", actor="ada")
    assert step(services) == []
    assert services.state.get_run(first.id).status is RunStatus.FAILED
