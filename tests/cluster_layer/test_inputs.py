"""What a tool is given is named with its size and its hash."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from neuroflow.cluster.inputs import describe_inputs
from neuroflow.domain import InputRule


def fill(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def described(*rules: InputRule, **options: Any) -> list[dict[str, Any]]:
    return describe_inputs([asdict(rule) for rule in rules], **options)


def test_the_data_of_the_named_folders_are_hashed_and_nothing_else(tmp_path: Path) -> None:
    data = ("derivatives/w/sub-1/ses-a/x.tsv", "sub-1/ses-a/dwi/a.nii.gz")
    fill(tmp_path, *data, "sub-1/ses-b/b.nii.gz", "sub-10/ses-a/c.json", "sub-1/ses-a/r.html", "sub-1/ses-a/.h/d.json")
    (found,) = described(InputRule(str(tmp_path), ("sub-1/ses-a", "derivatives/*/sub-1/ses-a", "sub-1/ses-a/dwi")))
    assert [(one["path"], one["sha256"]) for one in sorted(found["files"], key=lambda one: one["path"])] == [
        (name, hashlib.sha256(name.encode()).hexdigest()) for name in data
    ]
    assert (found["count"], found["bytes"]) == (2, sum(map(len, data)))


def test_a_folder_that_is_known_by_its_fingerprint_is_counted(tmp_path: Path) -> None:
    fill(tmp_path, "1.dcm", "deep/2.dcm")
    assert described(InputRule(str(tmp_path), ("",), hashed=False)) == [
        {"root": str(tmp_path), "count": 2, "bytes": 15}
    ]


def test_what_is_not_there_and_what_is_too_much_is_said(tmp_path: Path) -> None:
    fill(tmp_path, "s/1.json", "s/2.json")
    (tmp_path / "s" / "3.json").symlink_to("nowhere")
    none, some = described(InputRule(str(tmp_path / "no"), ("s",)), InputRule(str(tmp_path), ("s",)), limit_bytes=10)
    assert none["count"] == 0
    assert [bool(one.get("sha256")) for one in some["files"]] == [True, False, False]
    assert some["files"][1]["bytes"] == 8
    assert "problem" in some["files"][2]


def test_a_job_that_is_stopped_reads_no_further(tmp_path: Path) -> None:
    fill(tmp_path, "s/1.json")
    (found,) = described(InputRule(str(tmp_path), ("s",)), stopped=lambda: True)
    assert found["files"] == [{"path": "s/1.json", "bytes": 8, "sha256": None}]
