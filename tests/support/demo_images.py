"""The four demo images, built once and kept between test runs."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.commands import run

HOW = "run the tests as root on Debian with debootstrap and pip: tests/cluster/build-images.sh builds the demo images"
CHECKOUT = Path(__file__).resolve().parents[2]
BUILD_SECONDS = 1200.0


@dataclass(frozen=True)
class DemoImages:
    """An image per pipeline; options follow the image's name, as with the real ones."""

    bids_conversion: Path  # HeudiConv and dcm2niix themselves
    qsiprep: Path  # containers/demo/preproc_app.py
    qsirecon: Path  # containers/demo/recon_app.py
    qsiparc: Path  # QSIParc itself


def can_build() -> bool:
    """Tell whether the images can be built here."""
    return os.geteuid() == 0 and all(shutil.which(name) for name in ("apptainer", "debootstrap", "apt-get"))


def cache_folder() -> Path:
    """Return where the images are kept: NEUROFLOW_TEST_CACHE, or `.cache` in the checkout."""
    return Path(os.environ.get("NEUROFLOW_TEST_CACHE") or CHECKOUT / ".cache")


def build_demo_images() -> DemoImages:
    """Build what has changed since the last time."""
    environment = {**os.environ, "PYTHON": sys.executable}
    script = CHECKOUT / "tests" / "cluster" / "build-images.sh"
    folder = Path(run([script, cache_folder()], seconds=BUILD_SECONDS, env=environment).strip())
    return DemoImages(
        bids_conversion=folder / "demo-heudiconv.sif",
        qsiprep=folder / "demo-preproc.sif",
        qsirecon=folder / "demo-recon.sif",
        qsiparc=folder / "demo-qsiparc.sif",
    )
