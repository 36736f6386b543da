"""The two apps on a real scan: a Philips DWI of a volunteer's head, DICOM to region table."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from .conftest import RunApp
from .head import nib, np

SECONDS = 60
MEMORY_MB = 1000


@pytest.fixture(scope="module")
def archive() -> Path:
    """Find the scan: the folder of NEUROFLOW_TEST_DATA, or `shared/data` beside the checkout."""
    named = os.environ.get("NEUROFLOW_TEST_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "data"
    path = folder / "philips_dwi.tar.xz"
    if not path.is_file():
        pytest.skip(f"{path.name} is in none of NEUROFLOW_TEST_DATA and shared/data beside the checkout")
    return path


@pytest.fixture(scope="module")
def bids(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    beside = Path(sys.executable).with_name("dcm2niix")
    converter = str(beside) if beside.is_file() else shutil.which("dcm2niix")
    if converter is None:
        pytest.skip("dcm2niix is not installed")
    root = tmp_path_factory.mktemp("philips")
    with tarfile.open(archive) as tar:
        tar.extractall(root / "raw", filter="data")
    images = root / "images"
    images.mkdir()
    for path in (root / "raw").rglob("IM_*"):
        path.rename(images / path.name)
    target = root / "bids" / "sub-P1" / "ses-1" / "dwi"
    target.mkdir(parents=True)
    command = [converter, "-b", "y", "-z", "y", "-f", "sub-P1_ses-1_dwi", "-o", str(target), str(images)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return root / "bids"


@pytest.mark.slow
def test_a_real_head_has_white_matter(bids: Path, tmp_path: Path, run_app: RunApp) -> None:
    resource = pytest.importorskip("resource")
    prep, recon = tmp_path / "prep", tmp_path / "recon"
    started = time.monotonic()
    done = run_app("preproc_app.py", bids, prep, "participant", "--output-resolution", 2, "-w", "work")
    assert done.returncode == 0, done.stderr
    done = run_app("recon_app.py", prep, recon, "participant", "--recon-spec", "demo_tensor", "-w", "work")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started < SECONDS
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024 < MEMORY_MB

    mask = nib.load(next(prep.rglob("*_desc-brain_mask.nii.gz"))).get_fdata() > 0
    maps = {p: nib.load(next(recon.rglob(f"*_param-{p}_dwimap.nii.gz"))).get_fdata()[mask] for p in ("fa", "md")}
    slab_ml = mask.sum() * 0.008
    assert 700 < slab_ml < 1300  # 64 mm of a head
    assert 0 <= maps["fa"].min() <= maps["fa"].max() <= 1
    assert 0.4 < np.percentile(maps["fa"], 90) < 0.9  # white matter
    assert 0.1 < np.median(maps["fa"]) < 0.4
    assert 0.6 < np.median(maps["md"]) < 1.0  # 1e-3 mm²/s: tissue
    assert 2.0 < np.percentile(maps["md"], 95) < 3.3  # the ventricles' water
    labels = np.asarray(nib.load(next(recon.rglob("*_seg-DemoSlabs_dseg.nii.gz"))).dataobj)
    assert sorted(np.unique(labels)) == list(range(9))
