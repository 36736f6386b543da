"""The checks of the licence, the templates and the heuristic."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from neuroflow.doctor.files import INFANT_TEMPLATE, TEMPLATE, required_files
from tests.doctor.conftest import Patient

LICENCE = "me@example.org\n12345\n *Cabcdefghij\n FSabcdefghij\n"


def with_path(patient: Patient, key: str, path: Path) -> None:
    patient.content["paths"][key] = str(path)
    patient.write()


def templates(home: Path, *, size: int = 10, leave_out: int = 0) -> Path:
    for name in required_files(TEMPLATE, contrast="T1w")[leave_out:]:
        file = home / f"tpl-{TEMPLATE}" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * size)
    return home


def test_files_without_a_flaw(patient: Patient, tmp_path: Path) -> None:
    (tmp_path / "license.txt").write_text(LICENCE)
    with_path(patient, "freesurfer_license", tmp_path / "license.txt")
    with_path(patient, "templateflow_home", templates(tmp_path / "tf"))
    found = patient.look("licence", "templates", "heuristic")
    assert [one.severity for one in found] == ["ok", "ok", "ok"]


@pytest.mark.provokes("licence-strange")
@pytest.mark.parametrize("text", ["", "me@example.org\n", "<html>\n<body>\nLog in\n</body>\n</html>\n"])
def test_a_file_that_is_no_licence(patient: Patient, tmp_path: Path, text: str) -> None:
    (tmp_path / "license.txt").write_text(text)
    with_path(patient, "freesurfer_license", tmp_path / "license.txt")
    [found] = patient.look("licence")
    assert found.code == "licence-strange"
    assert "me@" not in found.what


@pytest.mark.provokes("licence-strange", "heuristic-broken")
def test_a_pipe_is_not_waited_for(patient: Patient, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with_path(patient, "freesurfer_license", tmp_path / "pipe")
    patient.write(pipelines={"bids_conversion": {"heuristic": str(tmp_path / "pipe")}})
    assert patient.codes("licence", "heuristic") == ["licence-strange", "heuristic-broken"]


@pytest.mark.provokes("templates-missing")
def test_a_template_that_was_not_fetched(patient: Patient, tmp_path: Path) -> None:
    with_path(patient, "templateflow_home", templates(tmp_path / "tf", leave_out=1))
    [found] = patient.look("templates")
    assert found.code == "templates-missing"
    assert f"lacks tpl-{TEMPLATE}_res-01_T1w.nii.gz" in found.what
    assert f"TEMPLATEFLOW_HOME={tmp_path}/tf" in found.mend


@pytest.mark.provokes("templates-empty")
def test_templates_in_name_only(patient: Patient, tmp_path: Path) -> None:
    with_path(patient, "templateflow_home", templates(tmp_path / "tf", size=0))
    assert patient.codes("templates") == ["templates-empty"]


@pytest.mark.provokes("templates-missing")
def test_the_template_of_infants(patient: Patient, tmp_path: Path) -> None:
    home = templates(tmp_path / "tf")
    with_path(patient, "templateflow_home", home)
    patient.write(pipelines={"qsiprep": {"args": ["--infant"]}})
    assert patient.codes("templates") == ["templates-missing"]
    folder = home / f"tpl-{INFANT_TEMPLATE}" / "cohort-2"
    folder.mkdir(parents=True)
    for name in ("T1w", "desc-brain_mask"):
        (folder / f"tpl-{INFANT_TEMPLATE}_cohort-2_res-1_{name}.nii.gz").write_text("x")
    assert patient.codes("templates") == []


@pytest.mark.provokes("heuristic-broken")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def infotodict(seqinfo:\n", "line 1:"),
        ("def something(): ...\n", "does not define infotodict"),
    ],
)
def test_a_text_that_is_no_heuristic(patient: Patient, tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "heuristic.py"
    file.write_text(text)
    patient.write(pipelines={"bids_conversion": {"heuristic": str(file)}})
    [found] = patient.look("heuristic")
    assert found.code == "heuristic-broken"
    assert said in found.what
    assert str(file) in found.mend
