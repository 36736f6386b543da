"""A folder with a configuration that loads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from neuroflow.config import NeuroflowConfig
from neuroflow.errors import ConfigError

PATHS = """\
paths:
  dicom_root: dicom
  bids_root: bids
  derivatives_root: derivatives
  work_root: work
  state_dir: state
"""

Write = Callable[..., Path]
Load = Callable[..., NeuroflowConfig]
Problems = Callable[..., list[str]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a neuroflow.yaml that has the paths and some more text."""
    (tmp_path / "dicom").mkdir(exist_ok=True)

    def write(text: str = "", *, paths: str = PATHS, name: str = "neuroflow.yaml") -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(paths + text)
        return file

    return write


@pytest.fixture
def load(write: Write) -> Load:
    """Load a configuration that has the paths and some more text."""

    def load(text: str = "", *, environ: Mapping[str, str] | None = None, **options: Any) -> NeuroflowConfig:
        return NeuroflowConfig.find_and_load(write(text), environ=environ or {}, **options)

    return load


@pytest.fixture
def problems(write: Write) -> Problems:
    """Return the lines of the error that a configuration gives, without the folder's path."""

    def problems(
        text: str = "", *, paths: str = PATHS, environ: Mapping[str, str] | None = None, **options: Any
    ) -> list[str]:
        file = write(text, paths=paths)
        with pytest.raises(ConfigError) as caught:
            NeuroflowConfig.find_and_load(file, environ=environ or {}, **options)
        assert caught.value.exit_code == 2
        lines = str(caught.value).replace(f"{file.parent}/", "").splitlines()
        if len(lines) > 1:
            assert lines[0] == f"the configuration has {len(lines) - 1} problems:"
            return [line.strip() for line in lines[1:]]
        return lines

    return problems
