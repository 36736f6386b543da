"""A digital diffusion phantom: a head-shaped ellipsoid with regions whose tensors are known.

Arrays are indexed (i, j, k) in RAS+ order: i grows to the patient's right, j to the front, k to the head;
`Phantom.affine` maps indices to millimetres in the same directions, as NIfTI does. Directions are RAS as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int16]
Vector = tuple[float, float, float]

HEAD_DIFFUSIVITY = 0.8e-3  # mm²/s, isotropic: the head outside of the regions
HEAD_SIGNAL = 800.0  # without diffusion weighting, in the scanner's units
REGION_SIGNAL = 1000.0
HEAD_SEMI_AXES_MM = (44.0, 47.0, 34.0)  # taller than the stack of slices, so that every slice shows some head

# Eighteen directions, spread by electrostatic repulsion of the axes (nearest two: 32 degrees).
_DIRECTIONS: tuple[Vector, ...] = (
    (-0.7622, 0.6420, 0.0834),
    (0.1823, 0.9775, 0.1056),
    (0.9367, 0.3183, 0.1460),
    (0.3543, -0.9180, 0.1780),
    (-0.9681, 0.0882, 0.2344),
    (-0.6815, -0.6898, 0.2442),
    (0.8665, -0.3036, 0.3962),
    (0.5612, 0.7141, 0.4186),
    (-0.2562, 0.8367, 0.4840),
    (-0.1649, -0.8551, 0.4916),
    (-0.6486, 0.4152, 0.6379),
    (-0.7152, -0.2555, 0.6506),
    (0.4307, -0.5986, 0.6754),
    (0.6981, 0.1861, 0.6914),
    (0.1485, 0.5552, 0.8183),
    (-0.1964, -0.4486, 0.8719),
    (-0.2698, 0.1517, 0.9509),
    (0.2902, -0.0900, 0.9527),
)


@dataclass(frozen=True)
class RegionTruth:
    """What a region is known to be: fractional anisotropy and mean diffusivity (mm²/s)."""

    name: str
    fa: float
    md: float


@dataclass(frozen=True)
class Region:
    """A sphere in the head (mm, RAS) with one axially symmetric tensor."""

    name: str
    centre: Vector
    radius: float
    fa: float
    md: float
    direction: Vector  # RAS; any length

    def tensor(self) -> Floats:
        """Return the 3x3 tensor (mm²/s) that has this FA, MD and principal direction.

        With eigenvalues MD + 2d, MD - d, MD - d the definition of FA gives d = MD * FA / sqrt(3 - 2 FA²).
        """
        spread = self.md * self.fa / math.sqrt(3 - 2 * self.fa**2)
        axis = unit(self.direction)
        result: Floats = (self.md - spread) * np.eye(3) + 3 * spread * np.outer(axis, axis)
        return result


# The directions are oblique on purpose: a gradient table with one axis flipped or swapped shows at once.
_REGIONS = (
    Region("left_tract", (-24.0, 8.0, 0.0), 11.0, 0.80, 0.70e-3, (1.0, 1.0, 0.0)),
    Region("right_tract", (24.0, 8.0, 0.0), 11.0, 0.65, 0.75e-3, (0.0, 1.0, 1.0)),
    Region("frontal", (0.0, 30.0, 2.0), 10.0, 0.50, 0.80e-3, (1.0, 0.0, -1.0)),
    Region("occipital", (0.0, -30.0, -2.0), 10.0, 0.35, 0.85e-3, (1.0, -2.0, 1.0)),
    Region("central", (0.0, 0.0, 0.0), 10.0, 0.20, 0.90e-3, (2.0, 1.0, -1.0)),
)


@dataclass(frozen=True)
class GradientTable:
    """One b-value (s/mm²) and one unit direction (RAS; zeros for b=0) per volume."""

    bvals: tuple[float, ...]
    directions: tuple[Vector, ...]

    @classmethod
    def default(cls) -> GradientTable:
        """Return three volumes at b=0 and eighteen at b=1000."""
        bvals = (0.0,) * 3 + (1000.0,) * len(_DIRECTIONS)
        return cls(bvals=bvals, directions=((0.0, 0.0, 0.0),) * 3 + _DIRECTIONS)


@dataclass(frozen=True)
class Phantom:
    """A head with regions, sampled on a grid and measured with a gradient table."""

    shape: tuple[int, int, int] = (40, 40, 16)
    voxel_mm: float = 2.5
    regions: tuple[Region, ...] = _REGIONS
    gradients: GradientTable = field(default_factory=GradientTable.default)
    noise: float = 15.0  # standard deviation of each channel, in the signal's units

    @classmethod
    def default(cls) -> Phantom:
        """Return the phantom of the demonstration."""
        return cls()

    @property
    def affine(self) -> Floats:
        """The matrix from (i, j, k) to RAS+ millimetres; the middle of the grid is the origin."""
        result = np.diag([self.voxel_mm] * 3 + [1.0])
        result[:3, 3] = [-self.voxel_mm * (size - 1) / 2 for size in self.shape]
        return result

    def truth(self) -> dict[int, RegionTruth]:
        """Return what is known of each region, by its label."""
        return {
            label: RegionTruth(region.name, region.fa, region.md) for label, region in enumerate(self.regions, start=1)
        }

    def directions(self) -> dict[int, Vector]:
        """Return each region's principal direction (RAS, unit length), by its label."""
        return {label: _vector(unit(region.direction)) for label, region in enumerate(self.regions, start=1)}

    def labels(self) -> tuple[Integers, Floats]:
        """Return the atlas (0 outside of the regions) and its affine: ready to be saved as NIfTI."""
        points = self._points()
        atlas: Integers = np.zeros(self.shape, dtype=np.int16)
        for label, region in enumerate(self.regions, start=1):
            distance = np.linalg.norm(points - np.asarray(region.centre), axis=-1)
            atlas[distance <= region.radius] = label
        return atlas, self.affine

    def head(self) -> NDArray[np.bool_]:
        """Return which voxels lie inside the head."""
        scaled = self._points() / np.asarray(HEAD_SEMI_AXES_MM)
        inside: NDArray[np.bool_] = np.sum(scaled**2, axis=-1) <= 1.0
        return inside

    def signal(self, *, seed: int) -> Floats:
        """Return the noisy measurement, indexed (i, j, k, volume); the same seed gives the same numbers.

        Each voxel is |S0 exp(-b gᵀDg) + complex Gaussian noise|: the Rician magnitude that a scanner stores.
        """
        clean = self.clean_signal()
        generator = np.random.default_rng(seed)
        real = clean + generator.normal(0.0, self.noise, clean.shape)
        imaginary = generator.normal(0.0, self.noise, clean.shape)
        result: Floats = np.hypot(real, imaginary)
        return result

    def clean_signal(self) -> Floats:
        """Return the measurement without noise, indexed (i, j, k, volume)."""
        bvals = np.asarray(self.gradients.bvals)
        directions = np.asarray(self.gradients.directions)
        atlas, _ = self.labels()
        signal = np.zeros((*self.shape, len(bvals)))
        signal[self.head()] = HEAD_SIGNAL * np.exp(-bvals * HEAD_DIFFUSIVITY)
        for label, region in enumerate(self.regions, start=1):
            along = np.einsum("vi,ij,vj->v", directions, region.tensor(), directions)
            signal[atlas == label] = REGION_SIGNAL * np.exp(-bvals * along)
        return signal

    def _points(self) -> Floats:
        """Return every voxel's centre (mm, RAS), indexed (i, j, k, axis)."""
        origin = self.affine[:3, 3]
        axes: list[Any] = [origin[n] + self.voxel_mm * np.arange(size) for n, size in enumerate(self.shape)]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def unit(vector: Vector) -> Floats:
    """Return the vector at unit length."""
    array = np.asarray(vector, dtype=np.float64)
    result: Floats = array / np.linalg.norm(array)
    return result


def _vector(array: Floats) -> Vector:
    x, y, z = (float(value) for value in array)
    return x, y, z
