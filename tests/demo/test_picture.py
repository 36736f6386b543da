"""The demo's picture, in a PNG file and in the terminal, and its table of regions."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from neuroflow.demo.table import RegionRow, region_rows, region_table
from neuroflow.errors import NotFoundError

np = pytest.importorskip("numpy")
nib = pytest.importorskip("nibabel")

SHAPE = (20, 30, 10)


@dataclass(frozen=True)
class KnownRegion:
    name: str
    fa: float
    md: float = 0.7


@pytest.fixture
def maps(tmp_path: Path) -> tuple[Path, Path]:
    """Two regions, stored in LPS+: the left one's FA is 0.95, the right one's 0."""
    labels = np.zeros(SHAPE, np.int16)
    labels[2:10, 4:26, 2:8], labels[10:18, 4:26, 2:8] = 1, 2
    fa = np.where(labels == 1, 0.95, 0.0).astype(np.float32)
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    turn = nib.orientations.ornt_transform(*(nib.orientations.axcodes2ornt(axes) for axes in ("RAS", "LPS")))
    paths = tmp_path / "fa.nii.gz", tmp_path / "dseg.nii.gz"
    for data, path in zip((fa, labels), paths, strict=True):
        nib.save(nib.Nifti1Image(data, affine).as_reoriented(turn), path)
    return paths


def render(content: Any, width: int = 80) -> str:
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=width)
    console.print(content)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_the_png_shows_fa_and_parcels(maps: tuple[Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    from neuroflow.demo.picture import FA_COLOURS, fa_picture, label_colour

    png = tmp_path / "made" / "picture.png"
    fa_picture(*maps, png, title="sub-01 ses-a", names={1: "left bundle", 2: "right"})
    image = (imread(png)[..., :3] * 255).round().astype(int)
    assert image.shape[1] > 800
    left, right = np.array_split(image, 2, axis=1)
    bright = (np.abs(left - np.array(FA_COLOURS[-1])).max(axis=-1) <= 2).sum()
    assert bright > 10_000  # FA of 0.95 fills a part of the left column
    for order in (0, 1):
        assert (np.abs(right - np.array(label_colour(order))).max(axis=-1) <= 2).sum() > 10_000


def test_the_terminal_shows_left_on_the_left(maps: tuple[Path, Path]) -> None:
    from neuroflow.demo.picture import FA_COLOURS, terminal_picture

    text = render(terminal_picture(*maps, width=60, names={1: "left bundle", 2: "right"}))
    lines = [line for line in text.splitlines() if "▀" in line]
    assert lines
    red, green, blue = FA_COLOURS[-1]
    bright = f"38;2;{red};{green};{blue}"
    cells = lines[len(lines) // 2].split("▀")[:29]
    where = [index for index, cell in enumerate(cells) if bright in cell]
    assert where
    assert max(where) < 16
    assert "left bundle" in text
    assert "right" in text


@pytest.mark.parametrize("width", [20, 60, 100])
def test_the_terminal_picture_keeps_to_its_width(width: int, maps: tuple[Path, Path]) -> None:
    from neuroflow.demo.picture import terminal_picture

    console = Console(width=200)
    lines = console.render_lines(terminal_picture(*maps, width=width), console.options, pad=False)
    drawn = [line for line in lines if any("▀" in segment.text for segment in line)]
    assert all(sum(len(segment.text.rstrip()) for segment in line) <= width for line in drawn)


def test_maps_of_different_grids_are_refused(maps: tuple[Path, Path], tmp_path: Path) -> None:
    from neuroflow.demo.picture import terminal_picture

    other = tmp_path / "other.nii.gz"
    nib.save(nib.Nifti1Image(np.ones((5, 5, 5), np.int16), np.eye(4)), other)
    with pytest.raises(ValueError, match="different grids"):
        terminal_picture(maps[0], other)


def test_a_parcellation_without_labels_is_refused(maps: tuple[Path, Path], tmp_path: Path) -> None:
    from neuroflow.demo.picture import terminal_picture

    fa = nib.load(maps[0])
    empty = tmp_path / "empty.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros(SHAPE, np.int16), fa.affine), empty)
    with pytest.raises(ValueError, match="no label above 0"):
        terminal_picture(maps[0], empty)


def test_matplotlib_is_loaded_only_for_the_png() -> None:
    code = "import neuroflow.demo.picture, neuroflow.demo.table, sys; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def write_tables(folder: Path, session: str, fa: dict[int, str]) -> list[Path]:
    """Write QSIParc's tables of FA and MD for a session, as QSIParc 0.1.2 names them and their columns."""
    paths = []
    for scalar in ("fa", "md"):
        path = folder / f"sub-01_ses-{session}_atlas-Boxes_software-X_space-ACPC_param-{scalar}_diffmap.tsv"
        lines = ["index\tlabel\themisphere\tmean\tscalar"]
        lines += [f"{label}\tname {label}\tbilateral\t{mean}\t{scalar}" for label, mean in fa.items()]
        path.write_text("\n".join(lines) + "\n")
        paths.append(path)
    return paths


def test_rows_set_the_measured_fa_beside_the_truth(tmp_path: Path) -> None:
    paths = write_tables(tmp_path, "b", {1: "0.710000", 2: "0.2"}) + write_tables(tmp_path, "a", {1: "0.69"})
    truth = {1: KnownRegion("bundle", 0.7)}
    rows = region_rows(paths, truth)
    assert rows == [
        RegionRow("01", "a", "bundle", 0.69, 0.7),
        RegionRow("01", "b", "bundle", 0.71, 0.7),
        RegionRow("01", "b", "name 2", 0.2, None),
    ]
    assert rows[0].difference == pytest.approx(-0.01)
    assert rows[2].difference is None


def test_a_region_without_voxels_has_no_number(tmp_path: Path) -> None:
    rows = region_rows(write_tables(tmp_path, "a", {1: "", 2: "nan"}), {1: KnownRegion("bundle", 0.7)})
    assert [(row.measured, row.difference) for row in rows] == [(None, None), (None, None)]


def test_the_table_marks_what_is_far_off(tmp_path: Path) -> None:
    truth = {label: KnownRegion(f"r{label}", 0.5) for label in (1, 2, 3)}
    text = render(region_table(write_tables(tmp_path, "a", {1: "0.51", 2: "0.46", 3: "0.8"}), truth))
    assert "\x1b[32m+0.010" in text
    assert "\x1b[33m-0.040" in text
    assert "\x1b[31m+0.300" in text


def test_brackets_in_a_name_are_shown(tmp_path: Path) -> None:
    text = render(region_table(write_tables(tmp_path, "a", {1: "0.5"}), {1: KnownRegion("area [red]", 0.5)}))
    assert "area [red]" in text


def test_no_fa_table_is_an_error(tmp_path: Path) -> None:
    (_, md) = write_tables(tmp_path, "a", {1: "0.7"})
    with pytest.raises(NotFoundError, match=r"in 1 \*_diffmap\.tsv"):
        region_rows([md], {})
