"""What is handed to VoxelOps, what is refused, and what its containers get to see."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from neuroflow.adapters import build_run
from neuroflow.adapters.runtimes import command_line
from neuroflow.adapters.runtimes.voxelops import CALLER, check_available
from neuroflow.adapters.runtimes.voxelops_call import make_view
from neuroflow.domain import ContainerRun
from neuroflow.errors import AdapterError
from tests.adapters.requests import make_request

IMAGES = {
    "bids_conversion": "nipy/heudiconv:1.5.1",
    "qsiprep": "pennlinc/qsiprep:26.1.1",
    "qsirecon": "pennlinc/qsirecon:26.0.0",
    "qsiparc": None,
}
SPEC = {"recon_spec": "/data/spec.yaml"}


def build(pipeline: str, *, settings: dict[str, Any] | None = None, **changes: Any) -> ContainerRun:
    if pipeline == "qsirecon":
        settings = {**SPEC, **(settings or {})}
    changes = {"image": IMAGES[pipeline], **changes}
    return build_run(make_request(pipeline, runtime="voxelops", settings=settings, **changes))


def call(run: ContainerRun) -> dict[str, Any]:
    (text,) = run.arguments
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@pytest.mark.parametrize("pipeline", IMAGES)
def test_results_are_checked_and_published_as_ever(pipeline: str) -> None:
    run = build(pipeline)
    plain = build_run(make_request(pipeline, runtime="host", settings=SPEC if pipeline == "qsirecon" else None))
    assert (run.publish_dir, run.owned, run.before, run.crash_globs) == (
        plain.publish_dir,
        plain.owned,
        plain.before,
        plain.crash_globs,
    )
    assert (run.outputs == plain.outputs) == (pipeline != "qsiparc")
    assert run.image == IMAGES[pipeline]
    assert command_line(run)[:4] == ("/opt/nodes/bin/python", "-P", "-u", str(CALLER))


def test_another_python_may_have_voxelops() -> None:
    run = build("qsiprep", containers={"voxelops_python": "/opt/voxelops/bin/python"})
    assert command_line(run)[0] == "/opt/voxelops/bin/python"


def test_qsiprep_gets_the_runs_request_and_its_sessions_alone() -> None:
    given = call(build("qsiprep", settings={"output_resolution": 1.5}))
    assert given["runner"] == "run_qsiprep"
    assert given["view"]["sessions"] == ["01", "02"]
    assert given["inputs"]["bids_dir"] == given["view"]["folder"]
    config = given["config"]
    assert (config["nprocs"], config["mem_mb"], config["output_resolution"]) == (8, 30_400, 1.5)
    assert (config["docker_image"], config["subject_anatomical_reference"]) == (IMAGES["qsiprep"], "first-lex")
    assert config["fs_license"] is None  # QSIPrep 26.1 has no such option any more


def test_older_releases_of_qsiprep_get_the_licence_and_their_own_word() -> None:
    config = call(build("qsiprep", version="1.0.2"))["config"]
    assert (config["fs_license"], config["subject_anatomical_reference"]) == (
        "/data/license.txt",
        "first-alphabetically",
    )


@pytest.mark.parametrize(
    ("pipeline", "changes", "words"),
    [
        ("qsiprep", {"settings": {"args": ["--b0-threshold", "50"]}}, "pipelines.qsiprep.args: VoxelOps can't"),
        ("qsiprep", {"settings": {"anat_modality": "none"}}, "pipelines.qsiprep.anat_modality"),
        ("qsiprep", {"containers": {"binds": ["/a:/a"]}}, "containers.binds"),
        ("qsiprep", {"image": None}, "there is no Docker image for qsiprep"),
        ("qsiprep", {"paths": {"bids_root": "/data/a:b"}}, "a path with a colon: '/data/a:b'"),
        ("qsirecon", {"settings": {"recon_spec": "dsi_studio_gqi"}}, "VoxelOps takes a YAML file alone"),
        ("qsiparc", {"settings": {"scalars": ["fa"]}}, "pipelines.qsiparc.scalars"),
    ],
)
def test_what_voxelops_would_leave_out_is_refused(pipeline: str, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(AdapterError, match=words):
        build(pipeline, **changes)


def test_a_missing_docker_or_python_is_said_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    check_available(sys.executable, needs_docker=False)
    with pytest.raises(AdapterError, match="no `docker` on PATH"):
        check_available(sys.executable, needs_docker=True)
    with pytest.raises(AdapterError, match="voxelops_python: '/missing/python' can't be executed"):
        check_available("/missing/python", needs_docker=False)


def test_a_python_that_cannot_import_voxelops_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "voxelops", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(AdapterError, match="needs VoxelOps") as caught:
        check_available(None, needs_docker=False)
    assert "pip install 'neuroflow[voxelops]'" in caught.value.hint


def test_a_container_sees_the_files_of_its_sessions_and_nothing_else(tmp_path: Path) -> None:
    dataset, view = tmp_path / "bids", tmp_path / "view"
    store = tmp_path / "annex"
    for name in ("sub-01/ses-a/dwi/x", "sub-01/ses-b/dwi/x", "sub-01/anat/t1", "sub-02/ses-a/dwi/x"):
        for root in (dataset, dataset / "derivatives" / "qsirecon-X"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(name)
    (dataset / "dataset_description.json").write_text("{}")
    store.write_text("annexed")
    (dataset / "sub-01/ses-a/dwi/link").symlink_to(store)
    make_view({"folder": str(view), "dataset": str(dataset), "subject": "01", "sessions": ["a"]})
    found = {str(path.relative_to(view)) for path in view.rglob("*") if path.is_file()}
    own = {"sub-01/ses-a/dwi/x", "sub-01/anat/t1"}
    assert found == {
        *own,
        *(f"derivatives/qsirecon-X/{name}" for name in own),
        "sub-01/ses-a/dwi/link",
        "dataset_description.json",
    }
    assert not any(path.is_symlink() for path in view.rglob("*"))
    assert (view / "sub-01/ses-a/dwi/link").read_text() == "annexed"
