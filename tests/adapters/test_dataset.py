"""The files at the top of the BIDS dataset are written once, whole, and never over a person's own."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from neuroflow.adapters.dataset import ensure_dataset, participants_tsv


def test_a_new_dataset_gets_its_files(tmp_path: Path) -> None:
    root = tmp_path / "a" / "my data"

    assert ensure_dataset(root) == ("dataset_description.json", "README.md", ".bidsignore")

    description = json.loads((root / "dataset_description.json").read_text())
    assert (description["Name"], description["DatasetType"]) == ("my data", "raw")
    assert ensure_dataset(root) == ()


def test_what_a_person_wrote_stays(tmp_path: Path) -> None:
    (tmp_path / "dataset_description.json").write_text("mine")
    (tmp_path / "README").write_text("mine")

    assert ensure_dataset(tmp_path) == (".bidsignore",)
    assert (tmp_path / "dataset_description.json").read_text() == "mine"


def test_subjects_with_a_folder_become_participants(tmp_path: Path) -> None:
    for name in ("sub-02", "sub-01", "sub-a+b", "code"):
        (tmp_path / name).mkdir()

    ensure_dataset(tmp_path, participants=True)

    assert (tmp_path / "participants.tsv").read_text() == "participant_id\nsub-01\nsub-02\n"
    assert "participants.tsv" not in ensure_dataset(tmp_path, participants=True)


@pytest.mark.parametrize(
    ("existing", "expected"),
    [
        (None, "participant_id\nsub-1\n"),
        ("", "participant_id\nsub-1\n"),
        ("participant_id\tage\nsub-9\t7", "participant_id\tage\nsub-9\t7\nsub-1\tn/a\n"),
        ("age\tparticipant_id\n7\tsub-1\n", "age\tparticipant_id\n7\tsub-1\n"),
        ("something else\n", "something else\n"),
    ],
)
def test_participants_are_added_and_columns_kept(existing: str | None, expected: str) -> None:
    assert participants_tsv(existing, ["1"]) == expected


def test_many_jobs_at_once_leave_whole_files_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "sub-1").mkdir()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: ensure_dataset(tmp_path, participants=True), range(40)))

    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"dataset_description.json", "README.md", ".bidsignore", "participants.tsv", "sub-1"}
    json.loads((tmp_path / "dataset_description.json").read_text())
    assert (tmp_path / "participants.tsv").read_text() == "participant_id\nsub-1\n"


def test_it_runs_as_the_command_that_the_adapters_give(tmp_path: Path) -> None:
    (tmp_path / "sub-1").mkdir()
    command = [sys.executable, "-m", "neuroflow.adapters.dataset", "--participants", str(tmp_path)]

    subprocess.run(command, check=True, timeout=60)

    assert (tmp_path / "participants.tsv").exists()
