"""The disk: what is named must be there, unless nothing would use it."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import PATHS, Load, Problems

HOST = "containers: {runtime: host}\npipelines: {qsirecon"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("discovery: {labels: csv, csv_file: no.csv}", "discovery.csv_file: the file 'no.csv' does not exist"),
        ("pipelines: {bids_conversion: {heuristic: no.py}}", "bids_conversion.heuristic: the file 'no.py' does not"),
        ("pipelines: {qsiprep: {bids_filter_file: no.json}}", "qsiprep.bids_filter_file: the file 'no.json' does"),
        ("pipelines: {qsiprep: {image: no.sif}}", "pipelines.qsiprep.image: the file 'no.sif' does not exist"),
        ("pipelines: {qsiprep: {image: /no/image}}", "pipelines.qsiprep.image: the file '/no/image' does not exist"),
        ("pipelines: {qsiprep: {runtime: singularity, image: n.sif}}", "image: the file 'n.sif' does not exist"),
        ("pipelines: {qsirecon: {recon_spec: no.yaml}}", "qsirecon.recon_spec: the file 'no.yaml' does not exist"),
        ("pipelines: {qsirecon: {datasets: {a: gone}}}", "qsirecon.datasets.a: the folder 'gone' does not exist"),
        (f"{HOST}: {{program: [/no/qsi]}}}}", "pipelines.qsirecon.program: the file '/no/qsi' does not exist"),
        (f"{HOST}: {{program: [python3, /no/app.py]}}}}", "qsirecon.program: the file '/no/app.py' does not exist"),
        (f"{HOST}: {{program: [/tmp]}}}}", "program: '/tmp' is a folder, and must be a program"),
        ("pipelines: {bids_conversion: {heuristic: dicom}}", "'dicom' is a folder, and must be a file"),
        (f"logging: {{}}\npipelines: {{qsiprep: {{image: /{'x' * 5000}}}}}", "does not exist"),
    ],
)
def test_what_is_named_must_be_there(problems: Problems, text: str, expected: str) -> None:
    (line,) = problems(text + "\n")
    assert expected in line


@pytest.mark.parametrize(
    "text",
    [
        "discovery: {csv_file: no.csv}",
        "pipelines: {qsiprep: {enabled: false, image: no.sif, bids_filter_file: no.json}}",
        "containers: {runtime: docker}\npipelines: {qsiprep: {image: no.sif}}",
        "pipelines: {qsiprep: {runtime: host, image: /no.sif}}",
        "pipelines: {qsirecon: {program: [/no/qsi]}}",  # in a container
        f"{HOST}: {{program: [/no/qsi], setup_lines: [module load qsi]}}}}",
        f"{HOST}: {{program: [/bin/sh, -c, /no/qsi], enabled: true}}}}",
        f"{HOST}: {{program: [env, /no/qsi]}}}}",
        "pipelines: {qsiprep: {image: dicom/}, qsirecon: {image: ./dicom}}",  # sandboxes
    ],
)
def test_what_nothing_would_use_may_be_missing(load: Load, text: str) -> None:
    load(text + "\n")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("dicom_root: dicom", "dicom_root: gone", "paths.dicom_root: the folder 'gone' does not exist"),
        ("dicom_root: dicom", "dicom_root: file", "paths.dicom_root: 'file' is a file, and must be a folder"),
        ("work_root: work", "work_root: file", "paths.work_root: 'file' is a file, and must be a folder"),
        (
            "state_dir: state",
            "state_dir: s\n  freesurfer_license: gone",
            "freesurfer_license: the file 'gone' does",
        ),
        (
            "state_dir: state",
            "state_dir: s\n  templateflow_home: gone",
            "templateflow_home: the folder 'gone' does",
        ),
    ],
)
def test_the_folders_must_be_folders(problems: Problems, tmp_path: Path, old: str, new: str, expected: str) -> None:
    (tmp_path / "file").touch()
    (line,) = problems(paths=PATHS.replace(old, new))
    assert expected in line


def test_the_disk_is_looked_at_even_when_other_sections_are_broken(problems: Problems) -> None:
    lines = problems("celery: {max_retries: x}\n", paths=PATHS.replace("dicom_root: dicom", "dicom_root: gone"))
    assert len(lines) == 2
