"""Draw an FA map beside its parcellation, as a PNG file and in the terminal."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.style import Style
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[Any]
nib: Any = nibabel  # half of it is untyped
RGB = tuple[int, int, int]

PNG_WIDTH_INCHES = 9.0
FA_TOP = 0.9  # the end of the colour bar: single white-matter voxels are above, regions hardly
# Black over violet and orange to pale yellow: dark to light throughout, so it reads without colour vision as well.
FA_COLOURS: tuple[RGB, ...] = ((0, 0, 4), (66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164))
PLANES = ((2, "R"), (1, "R"), (0, "A"))  # axial, coronal, sagittal: the fixed axis, what the right edge is
OPPOSITE = {"R": "L", "A": "P"}


@dataclass(frozen=True)
class Plane:
    """A slice of both maps, rows from top to bottom, with the size of a pixel in mm."""

    fa: Array
    labels: Array
    across: float
    up: float

    @property
    def width(self) -> float:
        """Width in mm."""
        return float(self.fa.shape[1] * self.across)

    @property
    def height(self) -> float:
        """Height in mm."""
        return float(self.fa.shape[0] * self.up)


@dataclass(frozen=True)
class Maps:
    """An FA map and its labels, in RAS+ axes, cropped to where there are labels."""

    fa: Array
    labels: Array
    zooms: tuple[float, float, float]

    def plane(self, axis: int) -> Plane:
        """Cut through the middle."""
        middle = self.labels.shape[axis] // 2
        fa, labels = (np.flipud(np.take(volume, middle, axis=axis).T) for volume in (self.fa, self.labels))
        across, up = [zoom for index, zoom in enumerate(self.zooms) if index != axis]
        return Plane(fa, labels, across, up)


def load_maps(fa_path: Path, dseg_path: Path) -> Maps:
    """Read an FA map and a parcellation on the same grid."""
    fa, dseg = (nib.as_closest_canonical(nib.load(path)) for path in (fa_path, dseg_path))
    if fa.shape != dseg.shape or not np.allclose(fa.affine, dseg.affine, atol=1e-3):
        raise ValueError(f"{fa_path.name} {fa.shape} and {dseg_path.name} {dseg.shape} lie on different grids")
    labels = np.asarray(dseg.dataobj).astype(int)
    if not labels.any():
        raise ValueError(f"{dseg_path.name} has no label above 0")
    inside = np.argwhere(labels)
    box = tuple(
        slice(max(low - 1, 0), high + 2) for low, high in zip(inside.min(axis=0), inside.max(axis=0), strict=True)
    )
    zooms = tuple(float(zoom) for zoom in fa.header.get_zooms()[:3])
    return Maps(np.asarray(fa.dataobj, dtype=float)[box], labels[box], (zooms[0], zooms[1], zooms[2]))


def fa_colours(fa: Array) -> Array:
    """Turn FA values into colours (… x 3, 0 to 255)."""
    position = np.clip(fa / FA_TOP, 0, 1) * (len(FA_COLOURS) - 1)
    channels = [np.interp(position, range(len(FA_COLOURS)), [c[i] for c in FA_COLOURS]) for i in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def label_colour(order: int) -> RGB:
    """Return the colour of the n-th label: hues far apart for neighbours in the list."""
    red, green, blue = colorsys.hsv_to_rgb(order * 0.618034 % 1, (0.75, 0.5)[order % 2], (0.95, 0.8)[order // 2 % 2])
    return round(red * 255), round(green * 255), round(blue * 255)


def palette(labels: Array) -> dict[int, RGB]:
    """Give each label its colour."""
    return {int(label): label_colour(order) for order, label in enumerate(np.unique(labels[labels > 0]))}


def label_colours(labels: Array, colours: Mapping[int, RGB]) -> Array:
    """Turn labels into colours (… x 3, 0 to 255)."""
    image = np.zeros((*labels.shape, 3), np.uint8)
    for label, colour in colours.items():
        image[labels == label] = colour
    return image


def fa_picture(
    fa_path: Path, dseg_path: Path, png_path: Path, *, title: str, names: Mapping[int, str] | None = None
) -> None:
    """Write a PNG: FA on the left, the parcellation beside it, three planes through the middle. Needs matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # optional: part of the extra `demo`
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    maps = load_maps(fa_path, dseg_path)
    colours = palette(maps.labels)
    planes = [maps.plane(axis) for axis, _ in PLANES]
    width = max(plane.width for plane in planes)
    heights = [plane.height for plane in planes]
    size = (PNG_WIDTH_INCHES, PNG_WIDTH_INCHES / 2 / width * sum(heights) + 1.8)
    figure = Figure(figsize=size, dpi=120, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(PLANES), 2, height_ratios=heights, squeeze=False)
    for (left, right), (_, edge), plane in zip(axes, PLANES, planes, strict=True):
        _show(left, fa_colours(plane.fa), plane, edge)
        _show(right, label_colours(plane.labels, colours), plane, edge)
    axes[0][0].set_title("fractional anisotropy (FA)", fontsize=11)
    axes[0][1].set_title("parcellation", fontsize=11)
    scale = LinearSegmentedColormap.from_list("fa", [_hex(colour) for colour in FA_COLOURS])
    bar = figure.colorbar(
        ScalarMappable(Normalize(0, FA_TOP), scale),
        ax=axes[-1][0],
        location="bottom",
        shrink=0.8,
        aspect=30,
        extend="max",
    )
    bar.set_label("FA")
    handles = [Patch(color=_hex(colour), label=_name(label, names)) for label, colour in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)), fontsize=9, frameon=False)
    figure.suptitle(title, fontsize=14)
    png_path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(png_path)


def _show(axes: Axes, image: Array, plane: Plane, edge: str) -> None:
    axes.imshow(image, aspect=plane.up / plane.across, interpolation="nearest")
    axes.set_axis_off()
    for place, text, align in ((0.01, OPPOSITE[edge], "left"), (0.99, edge, "right")):
        axes.text(place, 0.02, text, color="white", fontsize=9, ha=align, va="bottom", transform=axes.transAxes)


def _hex(colour: RGB) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _name(label: int, names: Mapping[int, str] | None) -> str:
    return (names or {}).get(label, f"region {label}")


def terminal_picture(
    fa_path: Path, dseg_path: Path, *, width: int = 60, names: Mapping[int, str] | None = None
) -> RenderableType:
    """Draw the middle axial slice for a terminal, `width` columns in all: FA, the parcellation, and their keys."""
    maps = load_maps(fa_path, dseg_path)
    colours = palette(maps.labels)
    plane = maps.plane(2)
    columns = max(8, (width - 2) // 2)
    rows = max(2, round(columns * plane.height / plane.width / 2) * 2)
    picture = Table.grid(padding=(0, 2, 0, 0))
    picture.add_row(
        half_blocks(fa_colours(_smooth(plane.fa, rows, columns))),
        half_blocks(label_colours(_resize(plane.labels, rows, columns), colours)),
    )
    picture.add_row(_fa_key(columns), "parcellation (left is left)"[:columns])
    return Group(picture, _label_key(colours, names))


def _smooth(image: Array, rows: int, columns: int) -> Array:
    fine = _resize(image, 3 * rows, 3 * columns)
    means: Array = fine.reshape(rows, 3, columns, 3).mean(axis=(1, 3))
    return means


def _resize(image: Array, rows: int, columns: int) -> Array:
    up = (np.arange(rows) + 0.5) * image.shape[0] / rows
    across = (np.arange(columns) + 0.5) * image.shape[1] / columns
    resized: Array = image[np.ix_(up.astype(int), across.astype(int))]
    return resized


def half_blocks(image: Array) -> Text:
    """Write an image (even rows x columns x 3) as lines of half blocks, two pixels in a character."""
    lines = []
    for upper, lower in zip(image[0::2], image[1::2], strict=True):
        line = Text(no_wrap=True)
        for top, bottom in zip(upper.tolist(), lower.tolist(), strict=True):
            line.append("▀", Style(color=Color.from_rgb(*top), bgcolor=Color.from_rgb(*bottom)))
        lines.append(line)
    return Text("\n").join(lines)


def _fa_key(columns: int) -> Text:
    key = Text("FA 0 ", no_wrap=True)
    for colour in fa_colours(np.linspace(0, FA_TOP, max(4, columns - 10))).tolist():
        key.append(" ", Style(bgcolor=Color.from_rgb(*colour)))
    return key.append(f" {FA_TOP:g}")


def _label_key(colours: Mapping[int, RGB], names: Mapping[int, str] | None) -> Columns:
    keys = []
    for label, colour in colours.items():
        square = Text("■ ", Style(color=Color.from_rgb(*colour)), no_wrap=True)
        keys.append(square.append(_name(label, names), Style(color="default")))
    return Columns(keys, padding=(0, 2))
