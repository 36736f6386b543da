"""An installed wheel carries what a checkout has, and works without one."""

from __future__ import annotations

import os
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support.commands import run

CHECKOUT = Path(__file__).resolve().parents[2]
SHIPPED_FOLDERS = ("slurm", "site-configs", "containers", "monitoring")
NOT_SHIPPED = {"__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache"}
BUILD_SECONDS = 300.0

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, CHECKOUT], seconds=BUILD_SECONDS)
    return folder


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> Path:
    """The wheel."""
    [path] = distributions.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a new environment with the wheel; its dependencies are those of this one."""
    environment = tmp_path_factory.mktemp("installed") / "venv"
    run([sys.executable, "-m", "venv", "--without-pip", environment])
    python = environment / "bin" / "python"
    run([sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel])
    own = run([python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"]).strip()
    # A line in a .pth file adds the folder alone: an editable neuroflow in it stays unseen.
    others = {sysconfig.get_paths()["purelib"], sysconfig.get_paths()["platlib"]}
    (Path(own) / "dependencies.pth").write_text("\n".join(sorted(others)) + "\n", encoding="utf-8")
    return environment / "bin"


def files_of(folder: str) -> set[str]:
    """Return the files below one of the checkout's folders, relative to the checkout."""
    found = (path.relative_to(CHECKOUT) for path in (CHECKOUT / folder).rglob("*") if path.is_file())
    return {path.as_posix() for path in found if not NOT_SHIPPED & set(path.parts)}


def outside() -> dict[str, str]:
    """Return an environment in which nothing points at the checkout."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


def test_the_wheel_carries_the_package_and_its_data(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    data = {f"neuroflow/_data/{name}" for folder in SHIPPED_FOLDERS for name in files_of(folder)}
    assert data | files_of("neuroflow") <= names
    assert any(name.startswith("neuroflow/models/migrations/versions/v") for name in names)
    assert any(name.startswith("neuroflow/adapters/heuristics/") and name.endswith(".py") for name in names)
    assert "neuroflow/_data/site-configs/local.yaml" in names
    assert "neuroflow/_data/containers/demo/preproc_app.py" in names


def test_the_wheel_carries_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if name.endswith(".pyc") or name.partition("/")[0] in ("tests", "docs")]
    assert not [name for name in names if name.endswith(".sif")]


def test_the_source_distribution_can_be_tested(distributions: Path) -> None:
    [path] = distributions.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"tests/conftest.py", "tests/cluster/services.sh", "LICENSE", "README.md", "pyproject.toml"} <= names
    assert not [name for name in names if name.endswith(".sif") or name.startswith((".venv/", ".cache/", ".ci/"))]


def test_the_installed_command_knows_its_version(installed: Path, wheel: Path, tmp_path: Path) -> None:
    version = wheel.name.split("-")[1]
    assert version in run([installed / "neuroflow", "--version"], cwd=tmp_path, env=outside())


def test_the_installed_command_makes_a_database(installed: Path, tmp_path: Path) -> None:
    for name in ("dicom", "site"):
        (tmp_path / name).mkdir()
    folders = ["bids_root", "derivatives_root", "work_root", "state_dir"]
    lines = ["site: local", "paths:", f"  dicom_root: {tmp_path}/dicom"]
    lines += [f"  {name}: {tmp_path}/site/{name}" for name in folders]
    (tmp_path / "neuroflow.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    run([installed / "neuroflow", "db", "upgrade"], cwd=tmp_path, env=outside())
    run([installed / "neuroflow", "db", "current"], cwd=tmp_path, env=outside())
    assert list((tmp_path / "site" / "state_dir").rglob("*.db"))
