"""A table and its dictionary are put in place together, and never over something else."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest

from neuroflow.errors import UsageError
from neuroflow.export.files import dictionary_text, draft, table_paths

WORDS = dictionary_text({"a": {"Description": "A"}}, table="runs")


def _export(path: Path, text: str = "a\n1\n", *, force: bool = False) -> None:
    with draft(table_paths(path, force=force)) as file:
        file.stream.write(text)
        file.publish(WORDS)


def test_both_files_are_there_and_nothing_else(tmp_path: Path) -> None:
    _export(tmp_path / "runs.tsv")

    assert (tmp_path / "runs.tsv").read_text() == "a\n1\n"
    assert json.loads((tmp_path / "runs.json").read_text())["a"] == {"Description": "A"}
    assert len(list(tmp_path.iterdir())) == 2


def test_an_export_replaces_an_earlier_one(tmp_path: Path) -> None:
    _export(tmp_path / "runs.tsv")
    _export(tmp_path / "runs.tsv", "a\n2\n")

    assert (tmp_path / "runs.tsv").read_text() == "a\n2\n"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("name", ["participants.tsv", "participants.json"])
def test_a_file_that_no_export_wrote_is_only_replaced_when_asked_for(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"age": {}}')

    with pytest.raises(UsageError, match=name):
        _export(tmp_path / "participants.tsv")

    assert (tmp_path / name).read_text() == '{"age": {}}'
    _export(tmp_path / "participants.tsv", force=True)
    assert (tmp_path / "participants.tsv").read_text() == "a\n1\n"


@pytest.mark.parametrize("words", ["", "[]", "{", '{"GeneratedBy": 3}', '{"GeneratedBy": [{"Name": "x"}]}'])
def test_a_dictionary_of_something_else_does_not_make_a_table_ours(tmp_path: Path, words: str) -> None:
    (tmp_path / "a.json").write_text(words)

    with pytest.raises(UsageError, match="not written by"):
        table_paths(tmp_path / "a.tsv", force=False)


def test_what_was_not_finished_leaves_the_earlier_files_alone(tmp_path: Path) -> None:
    _export(tmp_path / "runs.tsv")

    with contextlib.suppress(KeyboardInterrupt), draft(table_paths(tmp_path / "runs.tsv", force=False)) as file:
        file.stream.write("half")
        raise KeyboardInterrupt

    assert (tmp_path / "runs.tsv").read_text() == "a\n1\n"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("before", [True, False])
def test_when_the_table_can_not_be_put_in_place_the_dictionary_stays_as_it_was(tmp_path: Path, before: bool) -> None:
    (tmp_path / "runs.tsv").mkdir()
    (tmp_path / "runs.tsv" / "file").touch()
    if before:
        (tmp_path / "runs.json").write_text("mine")

    with pytest.raises(UsageError, match=r"runs\.tsv can't be written"):
        _export(tmp_path / "runs.tsv", force=True)

    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == (["runs.json"] if before else [])
    assert not before or (tmp_path / "runs.json").read_text() == "mine"


def test_a_link_is_replaced_and_what_it_points_to_stays(tmp_path: Path) -> None:
    (tmp_path / "real.tsv").write_text("data")
    (tmp_path / "runs.tsv").symlink_to(tmp_path / "real.tsv")

    _export(tmp_path / "runs.tsv", force=True)

    assert (tmp_path / "real.tsv").read_text() == "data"


@pytest.mark.parametrize(("name", "said"), [("a.csv", "no .tsv"), ("a", "no .tsv"), ("missing/a.tsv", "no folder")])
def test_a_place_that_is_none_is_named(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        table_paths(tmp_path / name, force=False)


def test_what_a_killed_export_left_goes_with_the_next_one(tmp_path: Path) -> None:
    left = [tmp_path / f".runs.{name}.0a1b2c3d.tmp" for name in ("tsv", "json", "before")]
    for path in left:
        path.write_text("half")
        os.utime(path, (0, 0))
    with draft(table_paths(tmp_path / "runs.tsv", force=False)):
        assert not any(path.exists() for path in left)
