"""Runs that fail before any job of them exists carry a signature, too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from neuroflow.cluster.base import JobRequest
from neuroflow.domain import FailureClass, RunStatus
from neuroflow.errors import SubmissionRefused
from neuroflow.orchestrator.launch import Launcher
from neuroflow.orchestrator.registry import Pipeline, Registry
from neuroflow.orchestrator.services import Services
from tests.chain.site import Site
from tests.orchestrator.test_breaker import FakeCluster
from tests.support.states import add_session, open_run


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A SLURM site."""
    return Site(
        tmp_path / "site",
        {"cluster": {"kind": "slurm"}, "pipelines": {"bids_conversion": {"where": "cluster", "runtime": "host"}}},
    )


class Refusing(FakeCluster):
    """A cluster that takes no job."""

    def __init__(self, *, transient: bool) -> None:
        super().__init__()
        self.transient = transient

    def submit(self, job: JobRequest) -> str:
        raise SubmissionRefused(f"sbatch: error: {job.scope}: invalid account 12", transient=self.transient)


@pytest.fixture
def services(site: Site) -> Iterator[Services]:
    """The services of that site."""
    services = site.services()
    yield services
    services.database.close()


def launched(services: Services, *subjects: str, pipeline: str = "bids_conversion") -> list[int]:
    """Launch a run of each subject and return the ids."""
    ids = []
    for subject in subjects:
        run_id = open_run(services.state, add_session(services.state, subject), pipeline).id
        services.release(pipeline, reason="the test goes on")
        Launcher(services).launch(run_id)
        ids.append(run_id)
    return ids


def test_runs_whose_command_cannot_be_built_share_one(services: Services) -> None:
    def without_image(one: Pipeline) -> Pipeline:
        return replace(one, settings=one.settings.model_copy(update={"runtime": "apptainer", "image": None}))

    registry = Registry(without_image(one) for one in services.registry)
    ids = launched(replace(services, registry=registry), "01", "P04x")
    runs = [services.state.get_run(run_id) for run_id in ids]
    assert {(run.status, run.failure) for run in runs} == {(RunStatus.FAILED, FailureClass.SITE)}
    assert len({run.signature for run in runs}) == 1
    assert runs[0].signature
    assert {run.id for run in services.state.dead_letters(signature=runs[0].signature)} == set(ids)


def test_submissions_that_failed_for_good_share_one(services: Services) -> None:
    ids = launched(replace(services, clusters={"slurm": Refusing(transient=False)}), "01", "P04x")
    attempts = [services.state.attempts_of(run_id)[-1] for run_id in ids]
    signatures = {one.signature for one in attempts} | {services.state.get_run(run_id).signature for run_id in ids}
    assert len(signatures) == 1
    assert "" not in signatures


def test_a_submission_that_is_tried_again_has_none(services: Services) -> None:
    (run_id,) = launched(replace(services, clusters={"slurm": Refusing(transient=True)}), "01")
    run = services.state.get_run(run_id)
    assert (run.status, run.signature) == (RunStatus.RETRY_WAIT, "")
