"""What the cluster, a partition and a pipeline say of one job, and which of them counts."""

from __future__ import annotations

import pytest

from neuroflow.config.partitions import containers_in, job_settings, limits_in
from neuroflow.domain.gres import gpu_type_of, gpus_of

from .conftest import Load, Problems

ALL_THREE = """
containers: {runtime_args: [--a], environment: {A: "1", B: "1", C: "1"}}
cluster:
  {account: c, partition: auto, qos: c, constraint: c, scratch: $C, setup_lines: [c], sbatch_lines: [--c],
   limits: {cpus: 4, time_minutes: 60},
   partitions: {p: {account: p, qos: p, constraint: p, gres: "gpu:v100:1,tmp:10G", scratch: $P, setup_lines: [p],
                    sbatch_lines: [--p], environment: {B: "2", C: "2"}, runtime_args: [--b],
                    limits: {time_minutes: 90, gpus: 4}}}}
pipelines:
  qsiprep: {account: q, qos: q, constraint: q, gres: "gpu:a100:2", scratch: $Q, setup_lines: [q], sbatch_lines: [--q]}
  qsirecon: {gpus: 2}
"""


def test_the_pipeline_replaces_the_partition_which_replaces_the_cluster_and_lists_add_up(load: Load) -> None:
    config = load(ALL_THREE)
    here, other = config.pipelines.qsiprep, config.pipelines.qsiparc
    found = job_settings(config.cluster, here, partition="p")
    assert {found.account, found.qos, found.constraint} == {"q"}
    assert (found.gres, found.scratch, found.setup_lines) == ("gpu:a100:2", "$Q", ("c", "p", "q"))
    assert found.sbatch_lines == ("--c", "--p", "--q")
    found = job_settings(config.cluster, other, partition="p")
    assert {found.account, found.qos, found.constraint} == {"p"}
    assert (found.gres, found.scratch, found.setup_lines) == ("gpu:v100:1,tmp:10G", "$P", ("c", "p"))
    found = job_settings(config.cluster, other, partition="elsewhere")
    assert {found.account, found.qos, found.constraint} == {"c"}
    assert (found.gres, found.scratch, found.setup_lines) == (None, "$C", ("c",))


def test_a_number_of_gpus_keeps_the_type_that_the_partition_names(load: Load) -> None:
    config = load(ALL_THREE)
    assert job_settings(config.cluster, config.pipelines.qsirecon, partition="p").gres == "gpu:v100:2,tmp:10G"
    none = config.pipelines.qsirecon.model_copy(update={"gpus": 0})
    assert job_settings(config.cluster, none, partition="p").gres == "tmp:10G"


def test_containers_and_limits_follow_the_same_rule(load: Load) -> None:
    config = load(ALL_THREE)
    containers = containers_in(config.containers, config.cluster, partition="p")
    assert containers.environment == {"A": "1", "B": "2", "C": "2"}
    assert containers.runtime_args == ("--a", "--b")
    assert limits_in(config.cluster, "p").model_dump() == {
        "cpus": 4,
        "memory_mb": None,
        "time_minutes": 90,
        "gpus": 4,
    }
    assert limits_in(config.cluster, None) == config.cluster.limits


@pytest.mark.parametrize(
    ("gres", "gpus", "kind"),
    [
        (None, 0, None),
        ("gpu", 1, None),
        ("gpu:2", 2, None),
        ("gpu:a100", 1, "a100"),
        ("gpu:nvidia_a100_1g.5gb:3", 3, "nvidia_a100_1g.5gb"),
        ("gpu:1g.10gb:1", 1, "1g.10gb"),
        ("tmp:100G,gpu:v100:2", 2, "v100"),
        ("license:gpu:1", 0, None),
        ("gpu:a100:4(S:0-1),tmp:1T", 4, "a100"),
        ("(null)", 0, None),
    ],
)
def test_how_many_gpus_generic_resources_ask_for(gres: str | None, gpus: int, kind: str | None) -> None:
    assert (gpus_of(gres), gpu_type_of(gres)) == (gpus, kind)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cluster: {partitions: {auto: {qos: a}}}", "can't be a partition's name"),
        ("cluster: {partitions: {'a b': {qos: a}}}", "can't be a partition's name"),
        ("cluster: {partitions: {main: {tme: 3}}}", "cluster.partitions.main.tme"),
        ("cluster: {partitions: {main: {limits: {cpus: 0}}}}", "cluster.partitions.main.limits.cpus"),
        ("cluster: {partitions: {main: {gres: 'gpu 1'}}}", "'gpu 1' is no generic resource, such as gpu:1"),
        ("pipelines: {qsiprep: {gres: 'gpu:1:2:3'}}", "'gpu:1:2:3' is no generic resource"),
        ("pipelines: {qsiprep: {gres: 'gpu:2', gpus: 1}}", "gpus is 1, but gres (gpu:2) asks for 2; leave gpus out"),
    ],
)
def test_what_is_wrong_is_named(problems: Problems, text: str, expected: str) -> None:
    (line,) = problems(text + "\n")
    assert expected in line
