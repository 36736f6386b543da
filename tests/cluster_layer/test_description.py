"""A dataset's description names everything that made it, once each, whoever writes at the same time."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from neuroflow.cluster.description import DESCRIPTION_NAME, describe_dataset, distinct, merged

OURS = {"Name": "neuroflow", "Version": "1"}


def description(dataset: Path) -> Any:
    return json.loads((dataset / DESCRIPTION_NAME).read_text(encoding="utf-8"))


def test_a_description_is_made_where_there_is_none_and_then_left_alone(tmp_path: Path) -> None:
    extra = {"Name": "study", "BIDSVersion": "1.10.0"}
    assert describe_dataset(tmp_path, [OURS], extra=extra)
    assert description(tmp_path) == {**extra, "GeneratedBy": [OURS]}
    (tmp_path / DESCRIPTION_NAME).chmod(0o664)
    before = (tmp_path / DESCRIPTION_NAME).stat()
    assert not describe_dataset(tmp_path, [OURS], extra={**extra, "Name": "another"})
    assert (tmp_path / DESCRIPTION_NAME).stat() == before
    assert describe_dataset(tmp_path, [{"Name": "Other"}])
    assert (tmp_path / DESCRIPTION_NAME).stat().st_mode == before.st_mode, "a group may still write to it"


def test_what_a_person_and_the_tool_wrote_stays() -> None:
    person = {"Name": "Mine", "License": "CC0", "DatasetLinks": {"a": "x"}, "GeneratedBy": [{"Name": "Old"}]}
    tool = {"Name": "Tool", "BIDSVersion": "1.9.0", "DatasetLinks": {"a": "y", "b": "z"}}
    extra = {"DatasetType": "derivative", "BIDSVersion": "1.10.0", "DatasetLinks": {"c": "w"}}
    assert merged(person, [OURS], written_by_tool=tool, extra=extra) == {
        "Name": "Tool",
        "License": "CC0",
        "BIDSVersion": "1.9.0",
        "DatasetType": "derivative",
        "DatasetLinks": {"a": "y", "b": "z", "c": "w"},
        "GeneratedBy": [{"Name": "Old"}, OURS],
    }


def test_each_version_is_named_and_a_fuller_entry_takes_the_place_of_a_poorer_one() -> None:
    plain, full = {"Name": "T", "Version": "1"}, {"Name": "T", "Version": "1", "Container": {"Tag": "t.sif"}}
    newer = {"Name": "T", "Version": "2"}
    assert distinct([plain, newer, full, plain]) == [full, newer]


def test_a_tool_that_writes_its_file_again_takes_nothing_from_the_list(tmp_path: Path) -> None:
    for version in ("1", "2"):
        tool = {"Name": "t", "GeneratedBy": [{"Name": "T", "Version": version}]}
        describe_dataset(tmp_path, [OURS], written_by_tool=tool)
    assert description(tmp_path)["GeneratedBy"] == [{"Name": "T", "Version": "1"}, OURS, {"Name": "T", "Version": "2"}]


@pytest.mark.parametrize("text", ["{", "[]", "mine"])
def test_a_description_that_is_none_stays_as_it_is(tmp_path: Path, text: str) -> None:
    (tmp_path / DESCRIPTION_NAME).write_text(text)
    with pytest.raises(ValueError, match="stays as it is"):
        describe_dataset(tmp_path, [OURS])
    assert (tmp_path / DESCRIPTION_NAME).read_text() == text


def _describe(work: tuple[str, int]) -> None:
    folder, number = work
    tool = {"Name": "t", "GeneratedBy": [{"Name": "T", "Version": str(number)}]}
    describe_dataset(Path(folder), [OURS], written_by_tool=tool)


def test_of_many_jobs_at_once_none_is_forgotten(tmp_path: Path) -> None:
    numbers = range(24)
    with multiprocessing.get_context("fork").Pool(8) as pool:
        pool.map(_describe, [(str(tmp_path), number) for number in numbers], chunksize=1)
    said = description(tmp_path)["GeneratedBy"]
    assert len(said) == len(numbers) + 1
    assert {entry["Version"] for entry in said if entry["Name"] == "T"} == {str(number) for number in numbers}
    assert not list(tmp_path.glob(".*.tmp"))
