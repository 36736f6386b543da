"""The whole chain by way of VoxelOps, with a stand-in for Docker: see tests/support/fake_docker.py."""

from __future__ import annotations

import csv
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from neuroflow.adapters.runtimes.voxelops import CALLER
from neuroflow.demo.phantom import Phantom
from neuroflow.orchestrator.services import Services
from tests.chain.site import FA_TOLERANCE, Site, completed
from tests.support.require import require

FAKE = Path(__file__).resolve().parents[1] / "support" / "fake_docker.py"
# What VoxelOps imports and parcellate 0.4, which QSIParc needs, has dropped.
PARTS = Path(os.environ.get("NEUROFLOW_TEST_PARCELLATE", Path(sys.prefix) / "parcellate-0.3"))
HOW = "`make venv` installs it: pip install --no-deps --target .venv/parcellate-0.3 'parcellate==0.3.1'"


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def docker_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the stand-in on PATH, and return where it notes its command lines."""
    log = tmp_path / "docker.log"
    # Not by the environment of the test: a job gets little of that.
    script(tmp_path / "bin" / "docker", f'FAKE_DOCKER_LOG="{log}" exec "{sys.executable}" "{FAKE}" "$@"')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return log


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """A Python that can import VoxelOps, as one in an environment of its own would."""
    require("voxelops", (PARTS / "parcellate" / "interfaces").is_dir(), HOW)
    return script(tmp_path / "bin" / "voxelops-python", f'PYTHONPATH="{PARTS}" exec "{sys.executable}" "$@"')


def voxelops_site(folder: Path, python: Path) -> Site:
    licence, spec = folder / "license.txt", folder / "spec.yaml"
    licence.write_text("none\n")
    spec.write_text("name: demo_tensor\nnodes: []\n")
    here = {"where": "voxelops", "program": None}
    return Site(
        folder / "site",
        {
            "paths": {"freesurfer_license": str(licence)},
            "workflow": {"retry": {"max_attempts": 1}},
            "containers": {"voxelops_python": str(python)},
            "pipelines": {
                "bids_conversion": {**here, "image": "demo/heudiconv:1.5.1"},
                "qsiprep": {**here, "image": "demo/preproc:26.1.1"},
                "qsirecon": {**here, "image": "demo/recon:26.0.0", "recon_spec": str(spec)},
                "qsiparc": here,
            },
        },
    )


def commands(log: Path) -> list[list[str]]:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [line for line in lines if line[0] == "run"]


def region_fa(site: Site) -> dict[tuple[str, str], dict[str, float]]:
    found: dict[tuple[str, str], dict[str, float]] = {}
    for path in sorted((site.root / "derivatives" / "qsiparc").rglob("*_param-fa*_parc.tsv")):
        with path.open(encoding="utf-8", newline="") as file:
            rows = {row["label"]: float(row["mean"]) for row in csv.DictReader(file, delimiter="\t")}
        found[path.parts[-5], path.parts[-4]] = rows
    return found


def problems(services: Services) -> list[str]:
    return [f"{run.pipeline} {run.scope} {run.status}: {run.reason}" for run in services.state.list_runs()]


@pytest.mark.slow
def test_the_phantom_chain_passes_through_voxelops(tmp_path: Path, docker_log: Path, python: Path) -> None:
    site = voxelops_site(tmp_path, python)
    for subject, session, seed in (("01", "01", 1), ("01", "02", 2)):
        site.add_session(subject, session, seed=seed)
    services = site.services()
    site.run_sync(services)

    assert completed(services.state.list_runs()) == {
        "bids_conversion": 2,
        "qsiprep": 1,
        "qsirecon": 2,
        "qsiparc": 2,
    }, problems(services)
    truth = {region.name: region.fa for region in Phantom.default().truth().values()}
    measured = region_fa(site)
    assert set(measured) == {("sub-01", "ses-01"), ("sub-01", "ses-02")}
    for regions in measured.values():
        assert set(regions) == set(truth)
        for name, fa in truth.items():
            assert regions[name] == pytest.approx(fa, abs=FA_TOLERANCE), name
    _check_attempts(services)
    assert len(commands(docker_log)) == 5
    assert not list((site.root / "derivatives" / "qsiparc").glob(".neuroflow/replaced/*"))
    assert not list((site.root / "bids").glob(".heudiconv"))
    assert not list((site.root / "work").rglob("voxelops-nf-*"))
    services.database.close()


def _check_attempts(services: Services) -> None:
    for run in services.state.list_runs():
        attempt = services.state.latest_attempt(run.id)
        assert attempt is not None
        assert (attempt.where, attempt.exit_code) == ("voxelops", 0)
        record = json.loads((Path(attempt.folder) / "voxelops.json").read_text())
        assert record["success"] is True
        assert (record["tool"] == "qsiparc") == (attempt.image is None)
        if attempt.image is not None:
            assert attempt.image in record["command"]


SLEEPS = """
echo "$@" >> "{log}"
case $1 in
    run) trap '' TERM; : > "{started}"; exec sleep 60;;
    ps) echo c0ffee;;
esac
"""


def call(folder: Path, **inputs: str) -> str:
    output = folder / "out"
    given = {"bids_dir": str(folder / "view"), "participant": "01", "output_dir": str(output)}
    (folder / "bids" / "sub-01").mkdir(parents=True, exist_ok=True)
    return json.dumps(
        {
            "runner": "run_qsiprep",
            "classes": ["QSIPrepInputs", "QSIPrepDefaults"],
            "view": {"folder": given["bids_dir"], "dataset": str(folder / "bids"), "subject": "01", "sessions": ["a"]},
            "inputs": {**given, "work_dir": str(folder / "work"), **inputs},
            "config": {"docker_image": "lab/none:1", "force": True},
            "record": str(folder / "voxelops.json"),
            "output_dir": str(output),
            "keep": str(folder / "kept"),
        }
    )


@pytest.mark.slow
def test_a_container_does_not_outlive_its_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python: Path
) -> None:
    log, started = tmp_path / "log", tmp_path / "started"
    os.mkfifo(started)
    script(tmp_path / "bin" / "docker", SLEEPS.format(log=log, started=started))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    (tmp_path / "bids" / "sub-01").mkdir(parents=True)
    (tmp_path / "bids" / "sub-01" / "notes.txt").write_text("")
    with subprocess.Popen([python, "-P", CALLER, call(tmp_path)], stdout=subprocess.PIPE) as process:
        started.read_text()  # opens once the container runs
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM
    lines = log.read_text().splitlines()
    assert lines[-2:] == [f"ps --quiet --filter volume={tmp_path / 'out'}", "kill c0ffee"]
    assert not (tmp_path / "view").exists()


@pytest.mark.slow
def test_an_image_that_is_not_there_is_the_sites_fault(tmp_path: Path, docker_log: Path, python: Path) -> None:
    (tmp_path / "bids" / "sub-01").mkdir(parents=True)
    (tmp_path / "bids" / "sub-01" / "notes.txt").write_text("")
    command = [python, "-P", CALLER, call(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 125
    assert "Error: " in ended.stderr
    assert "Failed to pull Docker image 'lab/none:1'" in ended.stderr
    assert json.loads(docker_log.read_text().splitlines()[1]) == ["pull", "lab/none:1"]
