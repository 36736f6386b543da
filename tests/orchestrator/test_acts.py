"""Acts are done as they were shown: what changed meanwhile is left alone, and no job is lost."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest

from neuroflow.cluster.base import Cluster
from neuroflow.cluster.folders import LocalFolders
from neuroflow.core.state import StateManager
from neuroflow.domain import AttemptRecord, RerunRequest, RunRecord, RunStatus
from neuroflow.errors import ClusterError
from neuroflow.orchestrator.acts import Hand, perform
from neuroflow.orchestrator.control import cancel_runs
from neuroflow.orchestrator.picking import cancelling, excluding, retrying
from neuroflow.orchestrator.services import Services
from tests.chain.site import Site
from tests.support.states import RESOURCES, add_session, end_run, open_run

HAND = Hand("ada", "new image")


@dataclass
class FakeCluster:
    """Remembers what it was told to end; refuses where it is away."""

    away: bool = False
    ended: list[int] = field(default_factory=list)
    calls: int = 0
    folders: LocalFolders = field(default_factory=LocalFolders)

    def cancel(self, attempts: Sequence[AttemptRecord]) -> None:
        self.calls += 1
        if self.away:
            raise ClusterError("slurmctld does not answer")
        self.ended += [attempt.run_id for attempt in attempts]


class ClaimingMeanwhile(StateManager):
    """A database in which a worker claims a run right after somebody has looked for its attempts."""

    claims: int | None = None
    folder = ""

    def open_attempts_of(self, run_ids: Collection[int]) -> list[AttemptRecord]:
        found = super().open_attempts_of(run_ids)
        if self.claims is not None:
            run_id, self.claims = self.claims, None
            claim_in(self, run_id, Path(self.folder))
        return found


def claim_in(state: StateManager, run_id: int, folder: Path) -> None:
    assert state.claim_run(
        run_id,
        token=f"nf-{run_id}",
        where="slurm",
        folder=str(folder / f"nf-{run_id}"),
        resources=RESOURCES,
        image=None,
        limit=9,
    )


@pytest.fixture
def cluster() -> FakeCluster:
    """A cluster that takes every order."""
    return FakeCluster()


@pytest.fixture
def services(tmp_path: Path, cluster: FakeCluster) -> Iterator[Services]:
    """A small site with a cluster of ours."""
    made = Site(tmp_path / "site").services()
    clusters = cast("Mapping[str, Cluster]", {"slurm": cluster})
    yield replace(made, state=ClaimingMeanwhile(made.database), clusters=clusters)
    made.database.close()


def flying(services: Services, folder: Path, count: int) -> list[RunRecord]:
    """Return runs that are being submitted."""
    runs = [open_run(services.state, add_session(services.state, f"{number:02}")) for number in range(count)]
    for run in runs:
        claim_in(services.state, run.id, folder)
    return services.state.list_runs()[::-1]


def test_many_jobs_are_ended_in_one_call_and_their_claims_are_taken(
    services: Services, cluster: FakeCluster, tmp_path: Path
) -> None:
    runs = flying(services, tmp_path, 3)
    outcome = perform(services, cancelling(runs), HAND)
    assert [target.id for target in outcome.done] == cluster.ended == [run.id for run in runs]
    assert cluster.calls == 1
    assert [(tmp_path / f"nf-{run.id}" / "claim").read_text().strip() for run in runs] == ["revoked"] * 3


def test_a_run_whose_job_can_not_be_ended_stays_open_and_is_told(
    services: Services, cluster: FakeCluster, tmp_path: Path
) -> None:
    (run,) = flying(services, tmp_path, 1)
    waiting = open_run(services.state, add_session(services.state, "99"))
    cluster.away = True
    outcome = perform(services, cancelling([run, services.state.get_run(waiting.id)]), HAND)
    assert [target.id for target in outcome.done] == [waiting.id]
    assert outcome.errors == [f"the jobs of run {run.id} could not be cancelled: slurmctld does not answer"]
    assert services.state.get_run(run.id).status is RunStatus.SUBMITTING
    (problem,) = cancel_runs(services, [run.id], reason="x", actor="ada").errors
    assert "slurmctld does not answer" in problem
    cluster.away = False
    assert perform(services, cancelling([services.state.get_run(run.id)]), HAND).done


def test_a_job_that_a_worker_submits_between_the_look_and_the_cancellation_is_ended_too(
    services: Services, cluster: FakeCluster, tmp_path: Path
) -> None:
    run = open_run(services.state, add_session(services.state))
    state = cast("ClaimingMeanwhile", services.state)
    state.claims, state.folder = run.id, str(tmp_path)
    assert cancel_runs(services, [run.id], reason="x", actor="ada").run_ids == (run.id,)
    assert cluster.ended == [run.id]
    assert (tmp_path / f"nf-{run.id}" / "claim").read_text().strip() == "revoked"


def test_what_somebody_else_did_meanwhile_is_left_alone(services: Services) -> None:
    runs = [open_run(services.state, add_session(services.state, subject)) for subject in ("01", "02")]
    for run in runs:
        end_run(services.state, run.id, success=False)
    act = retrying(services, [services.state.get_run(run.id) for run in runs])
    services.state.supersede_runs([RerunRequest((runs[0].id,))], reason="mine", actor="bob")
    outcome = perform(services, act, HAND)
    assert ([one.id for one in outcome.done], [one.id for one in outcome.left]) == ([runs[1].id], [runs[0].id])
    sessions = services.state.list_sessions()
    take_out = excluding(sessions, excluded=True)
    services.state.set_session_excluded(sessions[0].id, True, reason="mine", actor="bob")
    outcome = perform(services, take_out, HAND)
    assert [one.id for one in outcome.left] == [sessions[0].id]
