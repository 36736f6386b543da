"""Behind SSH every folder that a job is told of has the cluster's name; on this machine none has."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from neuroflow.cluster.base import JobRequest
from neuroflow.orchestrator.attempt_job import JobBuilder
from neuroflow.orchestrator.place import Place
from tests.chain.site import Site
from tests.support.states import add_session, open_run


def remote(root: Path, **changes: Any) -> dict[str, Any]:
    ssh = {"host": "login", "config_file": str(root / "ssh_config"), "state_dir": "/project/nf"}
    (root / "ssh_config").touch()
    return {
        "cluster": {
            "kind": "slurm",
            "transport": "ssh",
            "python": "/project/venv/bin/python",
            "ssh": {**ssh, "paths": {str(root / "site"): "/project/lab", "/dicom": "/project/scanner"}},
        },
        "pipelines": {"bids_conversion": {"where": "cluster", "runtime": "apptainer", "image": "/project/h.sif"}},
        **changes,
    }


def prepared(root: Path, changes: dict[str, Any]) -> tuple[Place, JobRequest]:
    site = Site(root / "site", changes)
    services = site.services()
    run = open_run(services.state, add_session(services.state))
    job = JobBuilder(services).build(run, token="t")
    services.database.close()
    return Place.of(site.config(), where="slurm"), job


def test_a_job_behind_ssh_is_told_the_clusters_names_alone(tmp_path: Path) -> None:
    place, job = prepared(tmp_path, remote(tmp_path))
    text = json.dumps([job.folder, job.command, asdict(job.run)])
    assert str(tmp_path) not in text
    assert job.folder == "/project/nf/attempts/t"
    assert place.array_folder("a") == "/project/nf/arrays/a"
    assert job.run.publish_dir == "/project/lab/bids"
    assert job.run.work_dir.startswith("/project/lab/work/bids_conversion/")
    assert "/project/scanner/01/a" in {bind.source for bind in job.run.binds}
    assert job.run.image == "/project/h.sif", "what only the cluster has is named as it is there"
    assert {command[0] for command in job.run.before} == {"/project/venv/bin/python"}


def test_the_shipped_heuristic_is_taken_from_the_clusters_own_installation(tmp_path: Path) -> None:
    _, job = prepared(tmp_path, remote(tmp_path))
    copied = f"{job.run.work_dir}/heuristic-t.py"
    assert job.run.before[-1] == ("/project/venv/bin/python", "-m", "neuroflow.adapters.heuristics", copied)
    assert copied in {bind.source for bind in job.run.binds}


def test_work_in_the_worker_keeps_this_machines_names(tmp_path: Path) -> None:
    changes = remote(tmp_path)
    changes["pipelines"] = {"bids_conversion": {"where": "worker"}}
    _, job = prepared(tmp_path, changes)
    assert job.folder == str(tmp_path / "site" / "state" / "attempts" / "t")
    assert "/project" not in json.dumps([job.command, asdict(job.run)])


def test_nothing_is_connected_to_build_a_job_or_to_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: object, **options: object) -> None:
        raise AssertionError("it connects")

    monkeypatch.setattr("socket.create_connection", refused)
    prepared(tmp_path, remote(tmp_path))


def test_what_only_the_cluster_may_see_is_not_made_here(tmp_path: Path) -> None:
    prepared(tmp_path, remote(tmp_path))
    made = {path.name for path in (tmp_path / "site").iterdir()}
    assert "bids" in made
    assert "derivatives" not in made
