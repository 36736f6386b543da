"""Which ready runs go out together."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest

from neuroflow.cluster import site_limits_json
from neuroflow.config.execution import Cluster
from neuroflow.domain import RunRecord, RunStatus, SiteLimits
from neuroflow.orchestrator.registry import Pipeline, Registry, get_registry
from neuroflow.orchestrator.steps import batches
from tests.orchestrator.builders import NOW, RESOURCES, run, session


@dataclass(frozen=True)
class Site:
    """As much of the services as the choice needs; conversions work inside the worker."""

    size: int
    largest: int | None = None
    registry: Registry = field(default_factory=get_registry)

    @property
    def config(self) -> SimpleNamespace:
        return SimpleNamespace(cluster=Cluster(array_size=self.size))

    @property
    def state(self) -> SimpleNamespace:
        said = site_limits_json.to_json(SiteLimits(max_array_size=self.largest))
        return SimpleNamespace(get_value=lambda key: (said, NOW))

    def where(self, pipeline: Pipeline) -> str:
        return "worker" if pipeline.name == "bids_conversion" else "slurm"


def ready(first_id: int, pipeline: str, count: int) -> list[RunRecord]:
    return [
        run(first_id + n, pipeline, session(first_id + n), f"{pipeline}:{n}", RunStatus.PENDING) for n in range(count)
    ]


def ids(runs: list[RunRecord], size: int, largest: int | None = None) -> list[list[int]]:
    return [[item.id for item in batch] for batch in batches(runs, Site(size, largest))]  # type: ignore[arg-type]


def test_runs_of_one_pipeline_go_together_up_to_the_size() -> None:
    assert ids(ready(1, "qsirecon", 5), size=2) == [[1, 2], [3, 4], [5]]


def test_pipelines_never_mix_and_some_take_no_arrays() -> None:
    runs = [*ready(1, "bids_conversion", 2), *ready(11, "qsirecon", 2), *ready(21, "qsiparc", 1)]

    assert ids(runs, size=100) == [[1], [2], [11, 12], [21]]


def test_a_run_that_is_tried_again_with_its_own_request_goes_alone() -> None:
    first, again, third = ready(1, "qsirecon", 3)

    assert ids([first, replace(again, resources=RESOURCES), third], size=100) == [[2], [1, 3]]


def test_where_arrays_are_off_each_goes_alone() -> None:
    assert ids(ready(1, "qsirecon", 2), size=1) == [[1], [2]]


@pytest.mark.parametrize(("largest", "expected"), [(2, [[1, 2], [3]]), (1, [[1], [2], [3]]), (0, [[1], [2], [3]])])
def test_the_clusters_max_array_size_is_kept_to(largest: int, expected: list[list[int]]) -> None:
    assert ids(ready(1, "qsirecon", 3), size=100, largest=largest) == expected
