"""What the configuration says of a login node, and what is missing in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from neuroflow.config.checks import missing_files
from neuroflow.config.execution import Cluster, Containers, Pipelines
from neuroflow.config.paths import Paths

COMPLETE: dict[str, Any] = {
    "kind": "slurm",
    "transport": "ssh",
    "python": "/project/lab/venv/bin/python",
    "ssh": {"host": "login.example.org", "state_dir": "/project/lab/neuroflow"},
}


def test_a_login_node_needs_a_host_a_folder_and_a_python() -> None:
    assert Cluster.model_validate(COMPLETE).is_remote
    with pytest.raises(ValidationError, match=r"needs ssh\.host and ssh\.state_dir and python"):
        Cluster.model_validate({"kind": "slurm", "transport": "ssh"})


def test_only_slurm_is_reached_over_ssh() -> None:
    with pytest.raises(ValidationError, match="needs kind: slurm"):
        Cluster.model_validate({**COMPLETE, "kind": "local"})


@pytest.mark.parametrize(
    "change",
    [
        {"host": "-oProxyCommand=evil"},
        {"host": "login node"},
        {"user": "a b"},
        {"user": "-l"},
        {"state_dir": "relative"},
        {"state_dir": "/a/../b"},
        {"paths": {"/mnt": "project"}},
        {"paths": {"mnt": "/project"}},
        {"port": 0},
        {"unknown": 1},
    ],
)
def test_values_that_can_not_be_meant_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Cluster.model_validate({**COMPLETE, "ssh": {**COMPLETE["ssh"], **change}})


def test_what_only_the_clusters_jobs_read_is_not_looked_for_here(tmp_path: Path) -> None:
    (tmp_path / "dicom").mkdir()
    folders = {name: tmp_path / name for name in ("dicom_root", "bids_root", "derivatives_root", "work_root")}
    folders["dicom_root"] = tmp_path / "dicom"
    paths = Paths(**folders, state_dir=tmp_path / "state", freesurfer_license=Path("/project/license.txt"))
    pipelines = Pipelines.model_validate(
        {
            "bids_conversion": {"image": "/images/heudiconv.sif"},
            "qsiprep": {"image": "/project/images/qsiprep.sif", "bids_filter_file": "/project/filter.json"},
        }
    )
    sections = {"paths": paths, "containers": Containers(), "pipelines": pipelines}

    def named(cluster: Cluster) -> set[str]:
        return {".".join(map(str, key)) for key, _ in missing_files({**sections, "cluster": cluster})}

    here = named(Cluster(kind="slurm"))
    assert {"paths.freesurfer_license", "pipelines.qsiprep.image", "pipelines.bids_conversion.image"} <= here
    assert named(Cluster.model_validate(COMPLETE)) == {"pipelines.bids_conversion.image"}, "it works in the worker"
