"""The checks of the configuration."""

from __future__ import annotations

import pytest

from neuroflow.core.state import StateManager
from neuroflow.orchestrator.keys import WORKER_CONFIG_KEY
from tests.doctor.conftest import Patient, changed


def test_a_configuration_without_a_flaw(patient: Patient) -> None:
    names = ("configuration", "configuration-files", "configuration-mode", "environment", "limits", "services")
    assert patient.codes(*names, environ={}) == []


@pytest.mark.provokes("config-invalid")
def test_every_problem_is_a_finding_of_its_own(patient: Patient) -> None:
    patient.write(celery={"max_retries": "x"}, cluster={"kind": "y"})
    found = patient.look("configuration", "redis")
    assert [one.code for one in found] == ["config-invalid", "config-invalid", "redis"]
    assert {"celery.max_retries", "cluster.kind"} == {one.what.split(": ")[1] for one in found[:2]}
    assert found[2].severity == "skipped"


@pytest.mark.provokes("config-invalid")
def test_a_configuration_that_is_not_there(patient: Patient) -> None:
    patient.file.unlink()
    assert patient.codes("configuration") == ["config-invalid"]


@pytest.mark.provokes("config-invalid")
def test_a_pattern_of_the_protocol_that_does_not_compile(patient: Patient) -> None:
    patient.write(protocol={"required_scans": [{"name": "dwi", "pattern": "dwi("}]})
    assert "'dwi(' is not a regular expression" in patient.look("configuration")[0].what


@pytest.mark.provokes("config-invalid")
def test_dependencies_in_a_circle(patient: Patient) -> None:
    patient.write(pipelines={"bids_conversion": {"depends_on": ["qsiparc"]}})
    assert "circle" in patient.look("configuration")[0].what


@pytest.mark.provokes("config-file-missing")
def test_a_licence_and_a_dicom_folder_that_are_not_there(patient: Patient) -> None:
    patient.content["paths"] |= {"freesurfer_license": "none.txt", "dicom_root": "gone"}
    patient.write()
    found = patient.look("configuration-files")
    assert [one.code for one in found] == ["config-file-missing"] * 2
    assert "paths.dicom_root" in found[0].what


def test_a_node_needs_no_dicom_where_it_converts_none(patient: Patient) -> None:
    patient.content["paths"] |= {"freesurfer_license": "none.txt", "dicom_root": "gone"}
    patient.write()
    assert patient.codes("configuration-files", on_node=True) == ["config-file-missing"]
    patient.write(pipelines={"bids_conversion": {"where": "cluster"}})
    assert patient.codes("configuration-files", on_node=True) == ["config-file-missing"] * 2


@pytest.mark.provokes("config-secrets-readable")
def test_a_password_in_a_file_that_others_can_read(patient: Patient) -> None:
    patient.write(redis={"url": "redis://:geheim@127.0.0.1:6379/0"}).chmod(0o644)
    [found] = patient.look("configuration-mode")
    assert (found.code, found.mend) == ("config-secrets-readable", f"chmod 600 {patient.file}")
    assert "redis.url" in found.what
    assert "geheim" not in found.what
    patient.file.chmod(0o600)
    assert patient.codes("configuration-mode") == []


def test_a_url_without_a_password_may_be_read(patient: Patient) -> None:
    patient.write(redis={"url": "redis://127.0.0.1:6379/0"}).chmod(0o644)
    assert patient.codes("configuration-mode") == []


@pytest.mark.provokes("config-writable")
def test_a_file_that_others_can_change(patient: Patient) -> None:
    patient.file.chmod(0o666)
    assert patient.codes("configuration-mode") == ["config-writable"]


@pytest.mark.provokes("config-writable")
def test_a_file_that_others_can_replace(patient: Patient) -> None:
    with changed(patient.folder, 0o777):
        [found] = patient.look("configuration-mode")
    assert (found.code, found.mend) == ("config-writable", f"chmod o-w {patient.folder}")
    assert f"in the place of {patient.file}" in found.what
    with changed(patient.folder, 0o1777):  # as /tmp is: only owners can rename
        assert patient.codes("configuration-mode") == []


@pytest.mark.provokes("config-writable")
def test_a_site_file_behind_a_link_that_others_can_replace(patient: Patient) -> None:
    (above := patient.folder / "above").mkdir()
    (there := above / "site-configs").mkdir()
    patient.file.rename(there / "site.yaml")
    patient.file.symlink_to(there / "site.yaml")
    with changed(there, 0o777):
        assert [one.mend for one in patient.look("configuration-mode")] == [f"chmod o-w {there}"]
    with changed(above, 0o777):
        assert [one.mend for one in patient.look("configuration-mode")] == [f"chmod o-w {above}"]


@pytest.mark.provokes("config-unknown-variable")
def test_a_variable_with_one_underscore_too_few(patient: Patient) -> None:
    [found] = patient.look("environment", environ={"NEUROFLOW_STAE_DIR": "/x", "NEUROFLOW_CONFIG": "y"})
    assert (found.code, found.mend.split(";")[0]) == ("config-unknown-variable", "unset NEUROFLOW_STAE_DIR")


@pytest.mark.provokes("config-default-limits")
def test_a_workstations_limits_on_a_cluster(patient: Patient) -> None:
    patient.write(cluster={"kind": "slurm"}, workflow={"max_concurrent": {"qsiprep": 100, "qsirecon": 100}})
    [found] = patient.look("limits")
    assert (found.code, "qsiparc" in found.what) == ("config-default-limits", True)


@pytest.mark.provokes("services-outdated")
def test_workers_with_another_configuration(patient: Patient) -> None:
    database = patient.make_database()
    state = StateManager(database)
    state.set_value(WORKER_CONFIG_KEY, {"digest": patient.config().digest})
    assert patient.codes("services") == []
    patient.write(celery={"max_retries": 9})
    assert patient.codes("services") == ["services-outdated"]
    database.close()


@pytest.mark.provokes("qsirecon-unknown-name")
def test_a_workflow_that_qsirecon_does_not_have(patient: Patient) -> None:
    assert patient.codes("qsirecon-names") == []
    patient.write(pipelines={"qsirecon": {"recon_spec": "dsi_studio"}})
    (found,) = patient.look("qsirecon-names")
    assert (found.code, found.severity) == ("qsirecon-unknown-name", "warning")
    assert "did you mean 'dsi_studio_gqi'?" in found.what


def test_nothing_is_known_of_the_workflows_of_another_program(patient: Patient) -> None:
    patient.write(pipelines={"qsirecon": {"recon_spec": "ours", "program": ["our-recon"]}})
    assert [one.severity for one in patient.look("qsirecon-names")] == ["skipped"]
