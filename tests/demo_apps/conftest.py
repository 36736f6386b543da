"""A dataset of one small head, and a way to run the two apps on it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from .head import SIZE_MM, Head, write_dwi

APPS = Path(__file__).resolve().parents[2] / "containers" / "demo"
RunApp = Callable[..., "subprocess.CompletedProcess[str]"]


def load_app(name: str) -> ModuleType:
    """Import an app from its file, for a test of one of its functions."""
    spec = importlib.util.spec_from_file_location(f"demo_{name.removesuffix('.py')}", APPS / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def run_app(tmp_path_factory: pytest.TempPathFactory) -> RunApp:
    """Run an app by its file name, with warnings as errors, in a folder outside the datasets."""
    folder = tmp_path_factory.mktemp("cwd")

    def run(app: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "error", str(APPS / app), *map(str, arguments)]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)

    return run


@pytest.fixture
def head() -> Head:
    return Head()


@pytest.fixture
def bids(tmp_path: Path, head: Head) -> Path:
    """A dataset of one subject with one session, for a test to change."""
    root = tmp_path / "bids"
    write_dwi(root / "sub-01" / "ses-a" / "dwi", "sub-01_ses-a", head)
    return root


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, run_app: RunApp) -> Path:
    """What the demo preprocessing makes of such a dataset, once for all; only read it."""
    root = tmp_path_factory.mktemp("prepared")
    write_dwi(root / "bids" / "sub-01" / "ses-a" / "dwi", "sub-01_ses-a", Head())
    options = ["--session-label", "a", "--nprocs", 2, "--omp-nthreads", 1, "--mem", 4000, "--notrack", "-w", "work"]
    options += ["--skip-bids-validation", "--stop-on-first-crash", "--anat-modality", "none"]
    options += ["--participant-label", "01", "--subject-anatomical-reference", "first-lex"]
    done = run_app(
        "preproc_app.py", root / "bids", root / "out", "participant", "--output-resolution", SIZE_MM, *options
    )
    assert done.returncode == 0, done.stderr
    return root / "out"
