"""What comes back from a job is checked, and anything odd is no record at all."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest

from neuroflow.cluster.records import _CHECKS, read_exit_record
from neuroflow.domain import ExitRecord
from tests.cluster_layer.builders import exit_record


def write(folder: Path, **changes: Any) -> None:
    raw = {"schema": 1, **asdict(exit_record()), **changes}
    (folder / "exit.json").write_text(json.dumps({name: value for name, value in raw.items() if value != "absent"}))


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    write(tmp_path)
    assert read_exit_record(tmp_path, token="nf-1") == exit_record()


def test_a_record_of_an_older_release_is_read(tmp_path: Path) -> None:
    write(tmp_path, oom_kills="absent", stopped_by="absent")
    assert read_exit_record(tmp_path, token="nf-1") == exit_record()


def test_every_field_of_a_record_is_checked() -> None:
    assert {field.name for field in fields(ExitRecord)} == set(_CHECKS)


def test_a_missing_record_is_none(tmp_path: Path) -> None:
    assert read_exit_record(tmp_path, token="nf-1") is None
    assert read_exit_record(tmp_path / "absent", token="nf-1") is None


def test_another_tokens_record_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    assert read_exit_record(tmp_path, token="nf-2") is None


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": 2},
        {"exit_code": "0"},
        {"exit_code": True},
        {"exit_code": 10**30},
        {"published": 1},
        {"ended_at": None},
        {"ended_at": float("nan")},
        {"ended_at": 1e300},
        {"crash_files": "x"},
        {"missing_outputs": [1]},
        {"stderr_tail": ["x"]},
        {"exit_code": "absent"},
    ],
)
def test_wrong_types_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    write(tmp_path, **changes)
    assert read_exit_record(tmp_path, token="nf-1") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "\x00", "[" * 100_000])
def test_what_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "exit.json").write_text(text)
    assert read_exit_record(tmp_path, token="nf-1") is None


def test_links_pipes_folders_and_huge_files_are_refused(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "exit.json"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to("elsewhere")
    assert read_exit_record(tmp_path, token="nf-1") is None
    path.unlink()
    os.mkfifo(path)
    assert read_exit_record(tmp_path, token="nf-1") is None
    path.unlink()
    path.mkdir()
    assert read_exit_record(tmp_path, token="nf-1") is None
    path.rmdir()
    write(tmp_path, stderr_tail="x" * 2_000_000)
    assert read_exit_record(tmp_path, token="nf-1") is None
