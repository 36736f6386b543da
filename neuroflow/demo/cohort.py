"""Generate the demo: a small cohort of phantom DICOM sessions, an atlas, and a configuration."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import yaml
from rich.console import Console

from neuroflow.data import data_path
from neuroflow.demo.dicom_writer import write_session
from neuroflow.demo.phantom import Phantom
from neuroflow.errors import UsageError

# Subject, session, seed of the noise.
COHORT = (("01", "01", 11), ("01", "02", 12), ("02", "01", 21))
MARKER = ".neuroflow-demo"
ATLAS = "Phantom"
# The demo apps' command lines follow these releases.
QSIPREP_VERSION, QSIRECON_VERSION = "26.1.1", "26.0.0"
# The phantom's own voxel size: resampling to another would blur its regions (mm).
VOXEL_MM = 2.5


@dataclass(frozen=True)
class DemoFolder:
    """Where the demo keeps its things."""

    root: Path

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.root / "neuroflow.yaml"

    @property
    def dicom(self) -> Path:
        """The generated DICOM sessions."""
        return self.root / "dicom"

    @property
    def atlas(self) -> Path:
        """The phantom's parcellation, as a dataset."""
        return self.root / "atlas"


def prepare(folder: DemoFolder, console: Console) -> None:
    """Generate the cohort and its configuration, once.

    Raises:
        UsageError: when the folder holds something else.
    """
    marker = folder.root / MARKER
    if folder.root.exists() and any(folder.root.iterdir()) and not marker.exists():
        raise UsageError(
            f"{folder.root} is not empty, and no demo made it",
            hint="name another folder: `neuroflow demo --folder DIR`",
        )
    folder.root.mkdir(parents=True, exist_ok=True)
    marker.touch()
    phantom = Phantom.default()
    for subject, session, seed in COHORT:
        target = folder.dicom / f"sub-{subject}" / f"ses-{session}"
        if target.exists():
            continue
        console.print(f"generating DICOM of a digital phantom: sub-{subject} ses-{session}")
        _write_whole(target, subject, session, seed, phantom)
    write_atlas(folder, phantom)
    if not folder.config.exists():
        folder.config.write_text(configuration(folder), encoding="utf-8")


def _write_whole(target: Path, subject: str, session: str, seed: int, phantom: Phantom) -> None:
    # A demo that was interrupted must not leave half a session behind.
    temporary = target.parent.parent / f".partial-{subject}-{session}"
    shutil.rmtree(temporary, ignore_errors=True)
    write_session(temporary, subject=subject, session=session, seed=seed, phantom=phantom)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary.rename(target)


def write_atlas(folder: DemoFolder, phantom: Phantom) -> None:
    """Write the phantom's parcellation as a dataset with one atlas."""
    import nibabel  # of the `demo` extra
    import numpy as np

    target = folder.atlas / f"atlas-{ATLAS}"
    image = target / f"atlas-{ATLAS}_dseg.nii.gz"
    if image.exists():
        return
    target.mkdir(parents=True, exist_ok=True)
    rows = ["index\tname", *(f"{label}\t{region.name}" for label, region in phantom.truth().items())]
    (target / f"atlas-{ATLAS}_dseg.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    labels, affine = phantom.labels()
    nibabel.save(nibabel.Nifti1Image(labels.astype(np.int16), affine), image)  # type: ignore[no-untyped-call]


def configuration(folder: DemoFolder) -> str:
    """Return the demo's neuroflow.yaml: everything on this machine, without containers."""
    import sys

    apps = data_path("containers") / "demo"
    content = {
        "paths": {
            "dicom_root": "dicom",
            "bids_root": "bids",
            "derivatives_root": "derivatives",
            "work_root": "work",
            "state_dir": "state",
        },
        "discovery": {"settle_minutes": 0},
        "protocol": {"required_scans": [{"name": "dwi", "pattern": "dwi", "min_files": 16}]},
        "workflow": {"max_concurrent": {"bids_conversion": 2, "qsiprep": 2, "qsirecon": 2, "qsiparc": 2}},
        "containers": {"runtime": "host"},
        "cluster": {"name": "demo", "kind": "local"},
        "pipelines": {
            "bids_conversion": {"cpus": 1},
            "qsiprep": {
                "program": [sys.executable, str(apps / "preproc_app.py")],
                "version": QSIPREP_VERSION,
                "output_resolution": VOXEL_MM,
                "cpus": 1,
                "memory_mb": 2000,
            },
            "qsirecon": {
                "program": [sys.executable, str(apps / "recon_app.py")],
                "version": QSIRECON_VERSION,
                "recon_spec": "demo_tensor",
                "atlases": [ATLAS],
                "datasets": {ATLAS: "atlas"},
                "cpus": 1,
                "memory_mb": 2000,
            },
            "qsiparc": {"cpus": 1, "memory_mb": 2000},
        },
    }
    head = (
        "# Written by `neuroflow demo`. The preprocessing and reconstruction are small demo apps of neuroflow's own,\n"
        "# with the command line and output layout of QSIPrep and QSIRecon; HeudiConv, dcm2niix and QSIParc are real.\n"
    )
    return head + yaml.safe_dump(content, sort_keys=False)
