"""What is said at submission of the results to come: whole, and without secrets."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from neuroflow.adapters.tools import generated_by
from neuroflow.domain import ContainerRun, RunProposal
from neuroflow.orchestrator.attempt_job import JobBuilder
from neuroflow.orchestrator.launch import Launcher
from neuroflow.orchestrator.provenance import describe_attempt
from neuroflow.orchestrator.services import Services
from tests.chain.site import Site
from tests.support.states import add_session, end_run, open_run, proposal

TOKEN = "nf-qsiprep-2-000000000000"


@pytest.fixture
def services(tmp_path: Path) -> Services:
    secret = {"API_TOKEN": "s3cret", "PLAIN": "seen"}
    return Site(tmp_path / "sité", {"pipelines": {"qsiprep": {"environment": secret}}}).services()


def described(services: Services, proposed: RunProposal) -> dict[str, Any]:
    run = services.state.open_run(proposed)
    assert run is not None
    launcher = Launcher(services)
    job = JobBuilder(services).build(run, token=TOKEN)
    attempt = services.state.claim_run(
        run.id, token=TOKEN, where="local", folder=job.folder, resources=job.resources, image=None, limit=1
    )
    assert attempt is not None
    assert launcher.with_journal(job, run, attempt).provenance == describe_attempt(services, run, attempt, job=job)
    return describe_attempt(services, run, attempt, job=job)


def test_upstream_settings_and_links_are_named_and_secrets_are_not(services: Services) -> None:
    session = add_session(services.state)
    source = open_run(services.state, session)
    end_run(services.state, source.id)
    about = described(services, proposal(session, "qsiprep", key=f"bids_conversion:{source.id}"))
    root = services.config.paths.bids_root
    assert about["file"] == ".neuroflow/provenance/sub-01/ses-a/qsiprep_run-2.json"
    (upstream,) = about["document"]["upstream"]
    assert upstream["provenance"] == f"{root}/.neuroflow/provenance/sub-01/ses-a/bids_conversion_run-1.json"
    assert about["description"]["DatasetLinks"] == {"raw": "../../bids"}
    assert about["description"]["SourceDatasets"] == [{"URL": f"file://{str(root).replace('é', '%C3%A9')}"}]
    assert about["environment"]["PLAIN"] == "seen"
    assert about["document"]["configuration"]["digest"] == services.config.digest
    assert "s3cret" not in json.dumps(about)
    assert about["tool"]["Name"] == "python", "the demo's program is not QSIPrep"


def test_a_fingerprint_is_taken_for_no_run(services: Services) -> None:
    session = add_session(services.state)
    about = described(services, proposal(session, key="dicom:12,34"))
    assert about["document"]["upstream"] == []
    assert about["description"]["DatasetType"] == "raw"


CONTAINER = ContainerRun(
    pipeline="qsiprep",
    runtime="apptainer",
    image="/shared images/qsiprep-26.1.1.sif",
    version="26.1.1",
    program=("/opt/bin/own",),
    arguments=(),
    binds=(),
    environment={},
    output_dir="/o",
    work_dir="/w",
    publish_dir="/p",
    owned=(),
    outputs=(),
)


@pytest.mark.parametrize(
    ("image", "container"),
    [
        (
            "/shared images/qsiprep-26.1.1.sif",
            {"Tag": "qsiprep-26.1.1.sif", "URI": "file:///shared%20images/qsiprep-26.1.1.sif"},
        ),
        ("pennlinc/qsiprep:26.1.1", {"Tag": "pennlinc/qsiprep:26.1.1", "URI": "docker://pennlinc/qsiprep:26.1.1"}),
        ("docker://a/b:1", {"Tag": "a/b:1", "URI": "docker://a/b:1"}),
    ],
)
def test_the_tool_is_named_with_its_container(image: str, container: dict[str, str]) -> None:
    entry = generated_by(replace(CONTAINER, image=image), own_program=False)
    assert entry["Name"] == "QSIPrep"
    assert entry["Version"] == "26.1.1"
    assert entry["Container"] == {"Type": "apptainer", **container}


def test_a_program_of_the_sites_own_is_not_taken_for_the_tool() -> None:
    entry = generated_by(replace(CONTAINER, image=None, version=None), own_program=True)
    assert entry == {"Name": "own"}
