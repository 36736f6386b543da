"""A job leaves with its results where they come from, and its results are good without that, too."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from neuroflow.cluster.base import JobRequest
from neuroflow.cluster.provenance import PROVENANCE_NAME
from neuroflow.domain import InputRule
from tests.cluster_layer.builders import WRITES, python_job
from tests.cluster_layer.test_job import record, run

FILE = ".neuroflow/provenance/sub-01/qsiprep_run-7.json"
ABOUT: dict[str, Any] = {
    "file": FILE,
    "tool": {"Name": "QSIPrep", "Version": "26.1.1", "Container": {"Tag": "qsiprep-26.1.1.sif"}},
    "generators": [{"Name": "neuroflow", "Version": "1"}],
    "description": {"Name": "qsiprep", "BIDSVersion": "1.10.0", "DatasetType": "derivative"},
    "command": ["qsiprep", "--scratch", "@SCRATCH@"],
    "before": [],
    "environment": {},
    "document": {"run": {"id": 7}, "container": {"runtime": "host"}, "software": {"neuroflow": "1"}},
}
SAYS = (
    WRITES
    + """; out = pathlib.Path(sys.argv[1])
(out / "dataset_description.json").write_text('{"Name": "T", "GeneratedBy": [{"Name": "T"}, {"Name": "Other"}]}')
nested = out / "derivatives" / "w" / "sub-01"
nested.mkdir(parents=True)
(nested / "b.txt").write_text("x")
"""
)


def job_in(root: Path, code: str = SAYS) -> JobRequest:
    (root / "bids" / "sub-01").mkdir(parents=True)
    (root / "bids" / "sub-01" / "a.json").write_text("{}")
    rules = (InputRule(str(root / "bids"), ("sub-01",)),)
    code = f"import sys, pathlib; out = pathlib.Path(sys.argv[1])\n{code}"
    return replace(python_job(root, code, inputs=rules, owned=("sub-01", "**/sub-01")), provenance=ABOUT)


def test_inputs_job_and_versions_are_written_beside_the_results(tmp_path: Path) -> None:
    job = job_in(tmp_path)
    code, _, err = run(job, SLURM_JOB_PARTITION="main")
    assert (code, err) == (0, "")
    dataset = tmp_path / "derivatives" / "qsiprep"
    document = json.loads((dataset / FILE).read_text())
    assert document == json.loads((Path(job.folder) / PROVENANCE_NAME).read_text())
    assert document["schema"] == 1
    assert document["run"] == {"id": 7}
    assert [one["path"] for one in document["inputs"][0]["files"]] == ["sub-01/a.json"]
    assert document["job"]["id"] == "17"
    assert document["job"]["slurm"]["partition"] == "main"
    assert document["usage"]["max_rss_mb"] > 1
    assert document["started_at"] <= document["published_at"]
    assert "sub-01" in document["outputs"]["owned"]
    assert record(job).provenance == ""


def test_the_descriptions_name_the_tool_in_its_own_words_and_neuroflow(tmp_path: Path) -> None:
    run(job_in(tmp_path))
    dataset = tmp_path / "derivatives" / "qsiprep"
    top = json.loads((dataset / "dataset_description.json").read_text())
    tool = {"Name": "T", "Version": "26.1.1", "Container": {"Tag": "qsiprep-26.1.1.sif"}}
    assert top["Name"] == "T"
    assert top["DatasetType"] == "derivative"
    assert top["GeneratedBy"] == [tool, {"Name": "Other"}, *ABOUT["generators"]]
    nested = json.loads((dataset / "derivatives" / "w" / "dataset_description.json").read_text())
    assert nested["Name"] == "w"
    assert nested["GeneratedBy"] == [ABOUT["tool"], *ABOUT["generators"]]


def test_a_provenance_that_can_not_be_written_costs_no_results_and_is_said(tmp_path: Path) -> None:
    dataset = tmp_path / "derivatives" / "qsiprep"
    (dataset / ".neuroflow").mkdir(parents=True)
    (dataset / ".neuroflow" / "provenance").write_text("a file in the way")
    (dataset / "dataset_description.json").write_text("broken {")
    job = job_in(tmp_path, WRITES)
    code, _, err = run(job)
    assert code == 0
    assert "the provenance is not complete" in err
    assert record(job).published
    assert "provenance" in record(job).provenance
    assert "stays as it is" in record(job).provenance
    assert (dataset / "dataset_description.json").read_text() == "broken {"


def test_results_that_a_later_attempt_published_are_those_of_the_attempt_that_made_them(tmp_path: Path) -> None:
    first = job_in(tmp_path)
    blocked = Path(first.folder) / "exit.json"
    blocked.mkdir()  # it publishes, and can't leave its record: its run gets a further attempt
    assert run(first)[0] != 0
    blocked.rmdir()
    (tmp_path / "derivatives" / "qsiprep" / FILE).unlink()
    document = {**ABOUT["document"], "attempt": {"number": 2}}
    later = replace(python_job(tmp_path, "raise SystemExit(9)"), provenance={**ABOUT, "document": document})
    assert run(later)[0] == 0
    written = json.loads((tmp_path / "derivatives" / "qsiprep" / FILE).read_text())
    assert "attempt" not in written, "the document is the first attempt's"
    assert written["inputs"][0]["count"] == 1
    assert "usage" not in written, "the second job did not run the tool"
    assert written["job"]["attempt_folder"] == first.folder


@pytest.mark.parametrize("code", ["raise SystemExit(3)", "pass"])
def test_a_failed_attempt_leaves_none(tmp_path: Path, code: str) -> None:
    job = job_in(tmp_path, code)
    assert run(job)[0] != 0
    assert not (tmp_path / "derivatives" / "qsiprep" / ".neuroflow").exists()
    assert not (Path(job.folder) / PROVENANCE_NAME).exists()
