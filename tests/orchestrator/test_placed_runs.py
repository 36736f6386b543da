"""Runs with `partition: auto`: where their attempts go, what they are given there, and what happens without a place."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from neuroflow.cluster import site_limits_json
from neuroflow.cluster.base import JobRequest
from neuroflow.cluster.submit import script_text
from neuroflow.domain import FailureClass, PartitionLimits, Resources, RetryDecision, RunStatus, SiteLimits
from neuroflow.orchestrator.attempt_job import JobBuilder
from neuroflow.orchestrator.dispatch import choose_dispatch
from neuroflow.orchestrator.launch import Launcher
from neuroflow.orchestrator.launch_array import ArrayLauncher
from neuroflow.orchestrator.rounds import poll_round
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.site import SITE_KEY, admission
from neuroflow.orchestrator.steps import InlineDispatcher, advance
from tests.chain.fast_pipeline import PIPELINE, FastSite
from tests.chain.site import Site
from tests.orchestrator.test_breaker import FakeCluster
from tests.support.slurm import Slurm
from tests.support.states import add_session, open_run

CONVERSION = "bids_conversion"  # two cores, 8000 MiB, two hours
PARTITIONS = {
    "short": PartitionLimits(150),
    "long": PartitionLimits(5000),
    "closed": PartitionLimits(9000, state="DOWN"),
}


class Kept(FakeCluster):
    """A cluster that keeps the jobs that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[JobRequest] = []

    def submit(self, job: JobRequest) -> str:
        self.jobs.append(job)
        return super().submit(job)


@pytest.fixture
def cluster() -> Kept:
    return Kept()


@pytest.fixture
def services(tmp_path: Path, cluster: Kept) -> Iterator[Services]:
    """A SLURM site with two partitions that are up and one that is not."""
    own = {"environment": {"A": "short"}, "runtime_args": ["--x"], "setup_lines": ["module load a"], "qos": "quick"}
    site = Site(
        tmp_path / "site",
        {
            "cluster": {"kind": "slurm", "partition": "auto", "partitions": {"short": own, "long": {}, "closed": {}}},
            "pipelines": {CONVERSION: {"where": "cluster", "runtime": "host"}},
        },
    )
    made = site.services()
    made.clusters["slurm"] = cluster  # type: ignore[index]
    made.state.set_value(SITE_KEY, site_limits_json.to_json(SiteLimits(partitions=PARTITIONS)))
    yield made
    made.database.close()


def new_run(services: Services, subject: str = "01", minutes: int | None = None) -> int:
    run_id = open_run(services.state, add_session(services.state, subject), CONVERSION).id
    if minutes is not None:
        ask_for(services, run_id, Resources(2, 8000, minutes))
    return run_id


def ask_for(services: Services, run_id: int, resources: Resources) -> None:
    """Let a run wait for another attempt with this request."""
    attempt = services.state.claim_run(
        run_id, token=f"before-{run_id}", where="slurm", folder="/f", resources=resources, image=None, limit=9
    )
    assert attempt is not None
    decision = RetryDecision(
        RunStatus.RETRY_WAIT, "again", counted=False, next_attempt_at=services.clock(), resources=resources
    )
    services.state.record_submission_failed(attempt.id, reason="not taken", decision=decision, failure=None)


def test_the_attempt_says_where_it_went_and_the_job_has_what_holds_there(services: Services, cluster: Kept) -> None:
    run_id = new_run(services)

    Launcher(services).launch(run_id)

    (attempt,) = services.state.attempts_of(run_id)
    assert attempt.resources.partition == "short"
    (job,) = cluster.jobs
    text = script_text(job, services.config.cluster)
    assert "#SBATCH --partition=short\n#SBATCH --qos=quick\n" in text
    assert "\nmodule load a\n" in text
    assert (job.run.environment["A"], job.run.runtime_args) == ("short", ("--x",))


def test_the_site_is_read_once_for_a_batch_and_the_job_of_a_group_of_one_is_built_once(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    built: list[int] = []
    get_value, build = services.state.get_value, JobBuilder.build
    monkeypatch.setattr(services.state, "get_value", lambda key: (read.append(key), get_value(key))[1])
    monkeypatch.setattr(
        JobBuilder, "build", lambda self, run, **named: (built.append(run.id), build(self, run, **named))[1]
    )
    ids = [new_run(services, "01"), new_run(services, "02", minutes=1000)]

    results = ArrayLauncher(services).launch(ids)

    assert [result.status for result in results] == [RunStatus.SUBMITTED] * 2
    partitions = [services.state.attempts_of(run_id)[-1].resources.partition for run_id in ids]
    assert partitions == ["short", "long"]
    assert (read.count(SITE_KEY), built) == (1, ids)


def test_what_no_partition_takes_fails_as_the_sites_and_holds_the_pipeline(services: Services) -> None:
    run_id = new_run(services, minutes=20_000)

    result = Launcher(services).launch(run_id)

    run = services.state.get_run(run_id)
    assert (run.status, run.failure) == (RunStatus.FAILED, FailureClass.SITE)
    assert len(services.state.attempts_of(run_id)) == 1, "none was made after the one before"
    assert "no partition takes a job of bids_conversion (2 cores, 8000 MiB, 20000 min, 0 GPUs)" in result.message
    assert "long: at most 5000 min" in run.error_message
    assert "no partition takes" in services.holds()[CONVERSION]


def test_one_that_is_closed_for_now_is_waited_for(services: Services) -> None:
    run_id = new_run(services, minutes=8000)

    result = Launcher(services).launch(run_id)

    assert (result.status, result.launched) == (RunStatus.RETRY_WAIT, False)
    assert result.message == "only closed would take it, and is DOWN at present"
    choice = choose_dispatch(services.state.snapshot(), services.registry, holds={}, admission=admission(services))
    assert (choice.run_ids, [wait.reason for wait in choice.waits]) == ((), [result.message])
    assert services.holds() == {}


@pytest.mark.slow
def test_on_a_real_slurm_a_short_job_goes_to_the_short_partition(tmp_path: Path, slurm: Slurm) -> None:
    told = tmp_path / "told"
    changes: dict[str, Any] = {
        "cluster": {
            "partition": "auto",
            "partitions": {
                slurm.short_partition: {"setup_lines": [f'echo "short $SLURM_JOB_PARTITION" >"{told}"']},
                slurm.partition: {},
                slurm.spot_partition: {},
            },
        },
        "pipelines": {PIPELINE: {"time_minutes": 2}},
    }
    site = FastSite(tmp_path / "site", slurm, changes)
    services = site.services()
    try:
        (run,) = site.open_runs(services, 1)
        poll_round(services, at_once=True)
        advance(services, InlineDispatcher(services), only=PIPELINE)
        end = time.monotonic() + 90
        while services.state.get_run(run.id).status is not RunStatus.COMPLETED:
            assert time.monotonic() < end, services.state.get_run(run.id)
            time.sleep(1)
            poll_round(services, at_once=True)
        assert services.state.attempts_of(run.id)[0].resources.partition == slurm.short_partition
        assert told.read_text() == f"short {slurm.short_partition}\n"
    finally:
        services.database.close()
