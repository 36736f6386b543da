"""A node's own variables neither change what a container sees nor hide where the runtime keeps its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuroflow.cluster.environment import node_environment, without_our_code

ROOT = str(Path(__file__).resolve().parents[2])


@pytest.mark.parametrize(
    "name",
    ["SUBMITIT_EXECUTOR", "NEUROFLOW_SCRATCH"]
    + [
        f"{runtime}_{what}"
        for runtime in ("APPTAINER", "SINGULARITY")
        for what in ("BIND", "BINDPATH", "NV", "CONTAIN")
    ]
    + ["APPTAINERENV_PYTHONPATH", "SINGULARITYENV_OMP_NUM_THREADS", "APPTAINERENV_TMPDIR"],
)
def test_is_left_behind(name: str) -> None:
    assert node_environment({name: "x"}) == {}


@pytest.mark.parametrize(
    "name",
    ["PATH", "SLURM_JOB_ID", "TMPDIR", "MY_APPTAINER_BIND"]
    + [
        f"{runtime}_{what}"
        for runtime in ("APPTAINER", "SINGULARITY")
        for what in ("TMPDIR", "CACHEDIR", "LOCALCACHEDIR", "CONFIGDIR")
    ],
)
def test_is_kept(name: str) -> None:
    assert node_environment({name: "x"}) == {name: "x"}


def test_a_container_is_told_which_gpus_the_job_has() -> None:
    found = node_environment({"CUDA_VISIBLE_DEVICES": "1,3", "APPTAINERENV_CUDA_VISIBLE_DEVICES": "0"})
    assert found == {
        "CUDA_VISIBLE_DEVICES": "1,3",
        "APPTAINERENV_CUDA_VISIBLE_DEVICES": "1,3",
        "SINGULARITYENV_CUDA_VISIBLE_DEVICES": "1,3",
    }


def test_only_our_own_entry_of_pythonpath_is_dropped() -> None:
    assert without_our_code({"PYTHONPATH": f"{ROOT}:/theirs:", "A": "x"}) == {"PYTHONPATH": "/theirs", "A": "x"}
    assert without_our_code({"PYTHONPATH": ROOT}) == {}
