"""A small head of known tensors, written as a BIDS dataset."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")
nib = pytest.importorskip("nibabel")
pytest.importorskip("scipy")

SHAPE = (40, 40, 16)
SIZE_MM = 2.5
B0_SIGNAL, NOISE = 1000.0, 20.0


@dataclass(frozen=True)
class Region:
    """A box of one tensor: its eigenvalues (1e-3 mm²/s) along and across a scanner direction."""

    name: str
    box: tuple[slice, slice, slice]
    along: float
    across: float
    direction: tuple[float, float, float]  # oblique: a sign or a factor that is wrong shows

    @property
    def fa(self) -> float:
        values = np.array([self.along, self.across, self.across])
        return float(np.sqrt(1.5 * ((values - values.mean()) ** 2).sum() / (values**2).sum()))

    @property
    def md(self) -> float:
        return (self.along + 2 * self.across) / 3

    @property
    def tensor(self) -> Any:
        direction = np.array(self.direction) / np.linalg.norm(self.direction)
        return self.across * np.eye(3) + (self.along - self.across) * np.outer(direction, direction)


REGIONS = {
    1: Region("LH_bundle", (slice(10, 18), slice(14, 26), slice(4, 12)), 1.7, 0.3, (1, 1, 0)),
    2: Region("RH_bundle", (slice(22, 30), slice(14, 26), slice(4, 12)), 1.4, 0.5, (0, 1, -1)),
    3: Region("centre", (slice(18, 22), slice(14, 26), slice(4, 12)), 1.2, 0.6, (2, -1, 1)),
}


def directions(count: int) -> Any:
    """Spread unit vectors over half a sphere (3 x count)."""
    turn = np.arange(count) * np.pi * (3 - np.sqrt(5))
    z = (np.arange(count) + 0.5) / count
    radius = np.sqrt(1 - z**2)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), z])


def ras_affine() -> Any:
    """Return an affine with axes right, anterior, superior, and the head around the origin."""
    affine = np.diag([SIZE_MM, SIZE_MM, SIZE_MM, 1.0])
    affine[:3, 3] = -SIZE_MM * (np.array(SHAPE) - 1) / 2
    return affine


@dataclass
class Head:
    """The head's signals on a RAS+ grid, and its gradients in scanner space."""

    bvals: Any = field(default_factory=lambda: np.array([0.0, *[1000.0] * 9, 0.003, *[1000.0] * 9]))

    @property
    def world(self) -> Any:
        table = np.zeros((3, self.bvals.size))
        table[:, self.bvals > 50] = directions(int((self.bvals > 50).sum()))
        table[:, self.bvals < 50] = 0.57735  # some scanners write a direction for b=0
        return table

    @property
    def labels(self) -> Any:
        labels = np.zeros(SHAPE, np.int16)
        for label, region in REGIONS.items():
            labels[region.box] = label
        return labels

    def signals(self, noise: float = NOISE, seed: int = 7) -> Any:
        grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij"))
        inside = (grid**2).sum(axis=0) < 0.95
        tensors = np.zeros((*SHAPE, 3, 3))
        tensors[:] = 0.8 * np.eye(3)
        for region in REGIONS.values():
            tensors[region.box] = region.tensor
        decay = np.einsum("in,xyzij,jn->xyzn", self.world, tensors, self.world) * self.bvals / 1000
        clean = B0_SIGNAL * np.exp(-decay) * inside[..., None]
        rng = np.random.default_rng(seed)
        real, imaginary = rng.normal(0, noise, (2, *clean.shape)) if noise else (0, 0)
        return np.hypot(clean + real, imaginary).astype(np.float32)


def write_dwi(folder: Path, stem: str, head: Head, *, axes: str = "RAS", signals: Any = None) -> Path:
    """Write a DWI whose image axes are `axes`, with the b-vectors that FSL's convention asks for."""
    folder.mkdir(parents=True, exist_ok=True)
    data = head.signals() if signals is None else signals
    ornt = nib.orientations.axcodes2ornt(axes)
    image = nib.Nifti1Image(data, ras_affine()).as_reoriented(
        nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), ornt)
    )
    linear = image.affine[:3, :3] / SIZE_MM
    bvecs = linear.T @ head.world
    if np.linalg.det(linear) > 0:
        bvecs[0] *= -1
    path = folder / f"{stem}_dwi.nii.gz"
    nib.save(image, path)
    np.savetxt(folder / f"{stem}_dwi.bval", head.bvals[None], fmt="%g")
    np.savetxt(folder / f"{stem}_dwi.bvec", bvecs, fmt="%.8f")
    return path


def write_atlas(folder: Path, name: str, head: Head) -> Path:
    """Write the head's regions as an atlas folder."""
    place = folder / f"atlas-{name}"
    place.mkdir(parents=True)
    nib.save(nib.Nifti1Image(head.labels, ras_affine()), place / f"atlas-{name}_dseg.nii.gz")
    lines = ["index\tname", *(f"{label}\t{region.name}" for label, region in REGIONS.items())]
    (place / f"atlas-{name}_dseg.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
