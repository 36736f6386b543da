"""What the tests of discovery share: a DICOM root, scanners, and a user who may not read everything."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from neuroflow.config.paths import Paths
from neuroflow.config.sections import Discovery, Protocol, RequiredScan
from neuroflow.discovery.dicom import read_header
from neuroflow.discovery.scanner import ReadHeader, ScanReport, SessionScanner
from neuroflow.domain import KnownSession
from tests.discovery.scanning import Scan

NOBODY = 65534


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "dicom"
    folder.mkdir()
    return folder


@pytest.fixture
def scan(root: Path, tmp_path: Path) -> Scan:
    """Scan the root; keyword arguments are settings of `discovery`."""

    def run(
        known: Mapping[str, KnownSession] | None = None,
        *,
        read: ReadHeader = read_header,
        required: tuple[RequiredScan, ...] = (),
        at: Path = root,
        **settings: object,
    ) -> ScanReport:
        others = {name: tmp_path / name for name in ("bids_root", "derivatives_root", "work_root", "state_dir")}
        paths = Paths(dicom_root=at, **others)
        scanner = SessionScanner(paths, Discovery(**settings), Protocol(required_scans=required), read=read)
        return scanner.scan(known or {})

    return run


@pytest.fixture
def ordinary_user_root(root: Path) -> Iterator[Path]:
    """A DICOM root for a test that runs as a user whom permissions bind, even where the tests run as root.

    It asks for `root` only to be made after it, because the ordinary user can't write to pytest's folder.
    """
    assert root.is_dir()
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    before = os.geteuid()
    if before == 0:
        os.chown(folder, NOBODY, -1)
        os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        os.seteuid(before)
        for path in folder.rglob("*"):
            path.chmod(0o755)
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def philips_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real export: 544 single-slice images of one series, a DICOMDIR, a presentation state, two private files."""
    beside = Path(__file__).parents[2].parent / "shared" / "data"
    archive = Path(os.environ.get("NEUROFLOW_TEST_DATA", beside)) / "philips_dwi.tar.xz"
    if not archive.exists():
        pytest.skip(f"no {archive.name}: set NEUROFLOW_TEST_DATA to the folder that holds it")
    folder = tmp_path_factory.mktemp("philips") / "dicom" / "sub-01"
    folder.mkdir(parents=True)
    with tarfile.open(archive) as stream:
        stream.extractall(folder, filter="data")
    return (folder / "philips_dwi").rename(folder / "ses-01")
