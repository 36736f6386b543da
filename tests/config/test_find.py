"""Where the main file is looked for, and whose file is not trusted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from neuroflow.config import NeuroflowConfig
from neuroflow.config.find import find_main_file
from neuroflow.errors import ConfigError

from .conftest import Write


def test_the_argument_comes_before_the_variable_before_the_folders(tmp_path: Path) -> None:
    for name in ("argument.yaml", "variable.yaml", "neuroflow.yaml"):
        (tmp_path / name).touch()
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    environ = {"NEUROFLOW_CONFIG": "../../variable.yaml"}
    found = find_main_file(Path("../../argument.yaml"), environ=environ, cwd=below)
    assert found.name == "argument.yaml"
    assert find_main_file(None, environ=environ, cwd=below).name == "variable.yaml"
    assert find_main_file(None, environ={"NEUROFLOW_CONFIG": ""}, cwd=below) == tmp_path / "neuroflow.yaml"


def test_the_home_folder_comes_last(tmp_path: Path) -> None:
    home = tmp_path / "home" / ".config" / "neuroflow"
    home.mkdir(parents=True)
    (home / "neuroflow.yaml").touch()
    (tmp_path / "cwd").mkdir()
    environ = {"HOME": str(tmp_path / "home")}
    assert find_main_file(None, environ=environ, cwd=tmp_path / "cwd") == home / "neuroflow.yaml"


def test_nothing_found_names_the_places_and_init(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no configuration") as caught:
        NeuroflowConfig.find_and_load(environ={"HOME": str(tmp_path)}, cwd=tmp_path)
    assert f"{tmp_path}/neuroflow.yaml, the folders above it, {tmp_path}/.config/neuroflow/neuroflow.yaml" in str(
        caught.value
    )
    assert "neuroflow init" in caught.value.hint


@pytest.mark.parametrize(("environ", "why"), [({}, "as it was asked for"), ({"NEUROFLOW_CONFIG": "x.yaml"}, "NEUROFL")])
def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path, environ: dict[str, str], why: str) -> None:
    with pytest.raises(ConfigError, match=f"x.yaml, .*{why}.*, does not exist"):
        find_main_file(None if environ else Path("x.yaml"), environ=environ, cwd=tmp_path)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder") as caught:
        find_main_file(tmp_path, environ={}, cwd=tmp_path)
    assert str(tmp_path / "neuroflow.yaml") in caught.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away needs root")
def test_a_strangers_file_in_an_open_folder_must_be_named(tmp_path: Path, write: Write) -> None:
    file = write()
    os.chown(file, 12345, 12345)
    assert find_main_file(None, environ={}, cwd=tmp_path) == file
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigError, match="belongs to another user"):
        find_main_file(None, environ={}, cwd=tmp_path)
    assert find_main_file(file, environ={}, cwd=tmp_path) == file


def test_a_relative_name_works_from_another_folder(write: Write, tmp_path: Path) -> None:
    write()
    (tmp_path / "sub").mkdir()
    config = NeuroflowConfig.find_and_load(Path("../neuroflow.yaml"), environ={}, cwd=tmp_path / "sub")
    assert config.paths.dicom_root.samefile(tmp_path / "dicom")
