"""Nodes that failed are left out for a while, and come back by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from neuroflow.domain import FailureClass, NodeFailure, RetryDecision, RunStatus, Verdict, VerdictKind
from neuroflow.orchestrator.attempt_job import JobBuilder
from neuroflow.orchestrator.nodes import MOST_NODES, nodes_to_avoid
from neuroflow.orchestrator.services import Services
from tests.chain.site import Site
from tests.orchestrator.builders import NOW
from tests.support.states import add_session, open_run, submit


class TestChoice:
    @pytest.mark.parametrize(("nodes", "expected"), [(None, MOST_NODES), (4, 2), (3, 1), (1, 0), (1000, MOST_NODES)])
    def test_never_more_than_half_of_the_partition_is_avoided(self, nodes: int | None, expected: int) -> None:
        lost = [NodeFailure(f"cn{number}", 7) for number in range(20)]
        assert len(nodes_to_avoid(lost, run_id=7, nodes=nodes)) == expected

    def test_a_run_avoids_the_nodes_that_failed_it(self) -> None:
        failures = [NodeFailure("cn2", 1), NodeFailure("cn1", 1), NodeFailure("cn9", 2)]
        assert nodes_to_avoid(failures, run_id=1) == ("cn2", "cn1")

    def test_all_runs_avoid_a_node_that_failed_several(self) -> None:
        assert nodes_to_avoid([NodeFailure("cn1", 1), NodeFailure("cn1", 2)], run_id=3) == ("cn1",)

    def test_one_run_alone_condemns_no_node_for_the_others(self) -> None:
        assert nodes_to_avoid([NodeFailure("cn1", 1), NodeFailure("cn1", 1)], run_id=3) == ()

    def test_only_a_few_are_left_out_the_last_to_fail(self) -> None:
        failures = [NodeFailure(f"cn{number}", 1) for number in range(20)]
        assert nodes_to_avoid(failures, run_id=1) == tuple(f"cn{number}" for number in range(MOST_NODES))


class Runs:
    """Runs that lose nodes, and a clock."""

    def __init__(self, services: Services) -> None:
        self.now = NOW
        state = type(services.state)(services.database, clock=lambda: self.now)
        self.services = replace(services, state=state, clock=lambda: self.now)

    def open(self, subject: str) -> int:
        return open_run(self.services.state, add_session(self.services.state, subject)).id

    def lose(self, run_id: int, host: str) -> None:
        made = submit(self.services.state, run_id)
        verdict = Verdict(VerdictKind.FAILED, "NODE_FAIL", failure=FailureClass.NODE, host=host)
        decision = RetryDecision(
            RunStatus.RETRY_WAIT, "elsewhere", counted=False, next_attempt_at=self.now, exclude_nodes=(host,)
        )
        assert self.services.state.record_verdict(made.id, verdict, decision, None)

    def excluded(self, run_id: int) -> tuple[str, ...]:
        return JobBuilder(self.services).build(self.services.state.get_run(run_id), token="t").exclude_nodes


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A SLURM site."""
    slurm = {"kind": "slurm", "exclude_node_hours": 24}
    return Site(
        tmp_path / "site", {"cluster": slurm, "pipelines": {"bids_conversion": {"where": "cluster", "runtime": "host"}}}
    )


@pytest.fixture
def runs(site: Site) -> Iterator[Runs]:
    """Runs at that site."""
    services = site.services()
    yield Runs(services)
    services.database.close()


def test_a_runs_next_attempt_is_kept_away_from_the_node_for_a_day(runs: Runs) -> None:
    run_id = runs.open("01")
    runs.lose(run_id, "cn1")
    assert runs.excluded(run_id) == ("cn1",)
    assert runs.excluded(runs.open("02")) == ()
    runs.now += timedelta(hours=24)
    assert runs.excluded(run_id) == ("cn1",)
    runs.now += timedelta(seconds=1)
    assert runs.excluded(run_id) == ()
    assert runs.services.state.get_run(run_id).exclude_nodes == ("cn1",)  # the record of why stays


def test_a_node_that_two_runs_lost_is_left_out_of_all(runs: Runs) -> None:
    first, second, third = (runs.open(subject) for subject in ("01", "02", "03"))
    runs.lose(first, "cn1")
    runs.now += timedelta(hours=20)
    runs.lose(second, "cn1")
    assert runs.excluded(third) == ("cn1",)
    runs.now += timedelta(hours=5)  # the first failure is too long ago
    assert runs.excluded(third) == ()
    assert runs.excluded(second) == ("cn1",)


def test_no_node_is_left_out_where_the_site_does_not_want_it(runs: Runs) -> None:
    run_id = runs.open("01")
    runs.lose(run_id, "cn1")
    config = runs.services.config
    never = config.model_copy(update={"cluster": config.cluster.model_copy(update={"exclude_node_hours": 0.0})})
    runs.services = replace(runs.services, config=never)
    assert runs.excluded(run_id) == ()


def test_nodes_of_another_cluster_are_not_meant(runs: Runs, tmp_path: Path) -> None:
    run_id = runs.open("01")
    runs.lose(run_id, "cn1")
    since: datetime = runs.now - timedelta(hours=1)
    assert runs.services.state.node_failures("worker", since=since) == []
