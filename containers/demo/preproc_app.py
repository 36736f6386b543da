#!/usr/bin/env python3
"""Neuroflow demo preprocessing: a small BIDS App with the command line and the output layout of QSIPrep 26.1.1.

It is not QSIPrep. It denoises (MP-PCA), masks the brain, reorients and resamples, and says so in its report; it does
not correct head motion, eddy currents or susceptibility distortion, and it registers nothing.
"""

from __future__ import annotations

import argparse
import html
import itertools
import json
import logging
import math
import re
import sys
import traceback
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

NAME = "neuroflow demo preprocessing"
VERSION = "1.0.0"
B0_BELOW = 50.0  # s/mm²: scanners and converters write 0.001, 5 or 10 for b=0
KEEP_GRID_WITHIN = 0.05  # of the output resolution: interpolation costs more than such a difference is worth
FILTER_KEYS = {"session": "ses", "acquisition": "acq", "direction": "dir", "run": "run"}
NOT_DONE = "no head motion, eddy current or distortion correction, no registration to AC-PC or to anatomy"

Array = NDArray[Any]
Grid = tuple[tuple[int, ...], Array]  # shape and affine
nib: Any = nibabel  # half of it is untyped
log = logging.getLogger("demo.preproc")


class AppError(Exception):
    """Say why a participant can't be processed."""


@dataclass(frozen=True)
class Run:
    """One DWI file of the input dataset."""

    path: Path
    session: str | None


@dataclass(frozen=True)
class Series:
    """A 4D image with its b-values (s/mm²) and unit gradient directions in scanner space (3 x volumes)."""

    data: Array
    affine: Array
    bvals: Array
    directions: Array

    @property
    def b0(self) -> Array:
        """The mean of the volumes without diffusion weighting."""
        mean: Array = self.data[..., self.bvals < B0_BELOW].mean(axis=-1)
        return mean


def build_parser() -> argparse.ArgumentParser:
    """Build the parser: QSIPrep 26.1.1's names; options that it refuses are refused here as well."""
    parser = argparse.ArgumentParser(prog="preproc_app.py", description=__doc__)
    parser.add_argument("bids_dir", type=Path)
    parser.add_argument("output_dir", type=Path)
    parser.add_argument("analysis_level", choices=["participant"])
    parser.add_argument("--participant-label", nargs="+", type=lambda text: text.removeprefix("sub-"))
    parser.add_argument("--session-label", nargs="+", type=lambda text: text.removeprefix("ses-"))
    parser.add_argument("--bids-filter-file", type=Path, help="JSON; only the entities of its part `dwi` are used")
    parser.add_argument("--output-resolution", type=float, required=True, help="isotropic voxel size (mm)")
    references = ["first-lex", "unbiased", "sessionwise"]
    parser.add_argument("--subject-anatomical-reference", choices=references, default=references[0])
    parser.add_argument("-w", "--work-dir", type=Path, default=Path("work"))
    parser.add_argument("--stop-on-first-crash", action="store_true")
    parser.add_argument("--version", action="version", version=f"{NAME} {VERSION} (command line of QSIPrep 26.1.1)")
    ignored = parser.add_argument_group("accepted, without effect here")
    ignored.add_argument("--anat-modality", choices=["T1w", "T2w", "none"], default="T1w")
    for names in (("--nprocs", "--nthreads"), ("--omp-nthreads",), ("--mem", "--mem-mb")):
        ignored.add_argument(*names)
    for flag in ("--notrack", "--skip-bids-validation"):
        ignored.add_argument(flag, action="store_true")
    return parser


def check_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End with exit code 2, as QSIPrep does, where paths or labels make no sense."""
    bids_dir, output_dir = options.bids_dir.resolve(), options.output_dir.resolve()
    if not bids_dir.is_dir():
        parser.error(f"Path does not exist: <{options.bids_dir}>.")
    if bids_dir == output_dir:
        parser.error("The selected output folder is the same as the input BIDS folder.")
    if bids_dir in options.work_dir.resolve().parents:
        parser.error("The selected working directory is a subdirectory of the input BIDS folder.")
    if options.output_resolution <= 0:
        parser.error(f"--output-resolution must be above 0 mm, it is {options.output_resolution}")
    present = {path.name.removeprefix("sub-") for path in bids_dir.glob("sub-*") if path.is_dir()}
    options.participant_label = sorted(set(options.participant_label or present))
    missing = set(options.participant_label) - present
    if missing or not present:
        names = ", ".join(sorted(missing)) or "(no sub-* folder at all)"
        parser.error(f"One or more participant labels were not found in the BIDS directory: {names}.")
    options.filters = read_filters(parser, options.bids_filter_file)


def read_filters(parser: argparse.ArgumentParser, path: Path | None) -> dict[str, list[str]]:
    """Return the entities that DWI files must have, each with the values that are allowed."""
    if path is None:
        return {}
    try:
        filters = dict(json.loads(path.read_text(encoding="utf-8")).get("dwi", {}))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        parser.error(f"{path} is no BIDS filter file: {error}")
    unknown = sorted(set(filters) - set(FILTER_KEYS) - {"datatype", "suffix"})
    if unknown:
        parser.error(f"{path}: the demo can't filter by {', '.join(unknown)}; it knows {', '.join(FILTER_KEYS)}")
    return {name: [str(v) for v in np.atleast_1d(filters[key])] for key, name in FILTER_KEYS.items() if key in filters}


def find_runs(subject: str, options: argparse.Namespace) -> list[Run]:
    """List a participant's DWI files, in the order of their names."""
    root = options.bids_dir / f"sub-{subject}"
    files = sorted([*root.glob("dwi/*_dwi.nii*"), *root.glob("ses-*/dwi/*_dwi.nii*")])
    runs = []
    for path in files:
        entities = dict(re.findall(r"([a-zA-Z]+)-([a-zA-Z0-9]+)", path.name))
        if entities.get("part", "mag") == "mag" and all(entities.get(k) in v for k, v in options.filters.items()):
            runs.append(Run(path, entities.get("ses")))
    if not runs:
        raise AppError(f"No DWI images found for participant {subject}. All workflows require DWI images.")
    wanted = options.session_label
    runs = [run for run in runs if wanted is None or run.session in wanted]
    if not runs:
        raise AppError(f"No DWI files found with session filter {', '.join(wanted)} for participant {subject}.")
    return runs


def read_series(path: Path) -> Series:
    """Read a DWI file, its axes reordered to LPS+, and the gradient table beside it."""
    tables = {}
    for kind in ("bval", "bvec"):
        table = path.with_name(f"{path.name.partition('.nii')[0]}.{kind}")
        if not table.is_file():
            raise AppError(f"{path.name} has no {table.name} beside it")
        tables[kind] = np.loadtxt(table, ndmin=2)
    image = nib.load(path)
    axes = nib.orientations.io_orientation(image.affine)
    lps = image.as_reoriented(nib.orientations.ornt_transform(axes, nib.orientations.axcodes2ornt("LPS")))
    data = np.asarray(lps.dataobj, dtype=np.float32)
    bvals, bvecs = tables["bval"].ravel(), tables["bvec"]
    bvecs = bvecs if bvecs.shape[0] == 3 else bvecs.T
    if data.ndim != 4 or bvecs.shape != (3, data.shape[3]) or bvals.size != data.shape[3]:
        raise AppError(f"{path.name}: image {data.shape}, {bvals.size} b-values and b-vectors {bvecs.shape} don't fit")
    if not np.isfinite(data).all():
        raise AppError(f"{path.name} holds values that are not finite")
    return drop_averages(Series(data, lps.affine, bvals, axes_of(image.affine) @ bvecs))


def drop_averages(series: Series) -> Series:
    """Leave out what is no diffusion-weighted volume: trace images have a b-value and no direction."""
    lengths = np.linalg.norm(series.directions, axis=0)
    keep = (series.bvals < B0_BELOW) | (lengths > 0.5)
    if not keep.all():
        log.warning("left out %d volume(s) with a b-value but no direction (trace images)", (~keep).sum())
    units = np.where(series.bvals < B0_BELOW, 0, series.directions / np.where(lengths > 0, lengths, 1))
    return Series(series.data[..., keep], series.affine, series.bvals[keep], units[:, keep])


def axes_of(affine: Array) -> Array:
    """Return the matrix from FSL's b-vectors to scanner space: FSL flips x where the determinant is positive."""
    linear = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    axes: Array = linear @ np.diag([-1.0 if np.linalg.det(linear) > 0 else 1.0, 1.0, 1.0])
    return axes


def denoise(data: Array) -> Array | None:
    """Denoise by MP-PCA (Veraart et al. 2016) over overlapping patches; return None if they would be too small."""
    volumes = data.shape[3]
    side = next(n for n in itertools.count(5, 2) if n**3 >= 2 * volumes)
    size = [min(extent, side) for extent in data.shape[:3]]
    if math.prod(size) < 2 * volumes:
        log.warning("not denoised: %s voxels are too few for %d volumes", data.shape[:3], volumes)
        return None
    total, weight = np.zeros_like(data), np.zeros(data.shape[:3], np.float32)
    for x in corners(data.shape[0], size[0]):
        slab = np.lib.stride_tricks.sliding_window_view(data[x : x + size[0]], tuple(size), axis=(0, 1, 2))[0]
        ys, zs = corners(data.shape[1], size[1]), corners(data.shape[2], size[2])
        patches = slab[np.ix_(ys, zs)].reshape(len(ys) * len(zs), volumes, -1)
        for patch, (y, z) in zip(truncate(patches), itertools.product(ys, zs), strict=True):
            box = (slice(x, x + size[0]), slice(y, y + size[1]), slice(z, z + size[2]))
            total[box] += np.moveaxis(patch.reshape(volumes, *size), 0, -1)
            weight[box] += 1
    clean: Array = np.maximum(total / weight[..., None], 0)
    return clean


def corners(extent: int, side: int) -> list[int]:
    """Place patches of one side along an axis, about half overlapping, the last one at the end."""
    step = max(1, (side + 1) // 2)
    return sorted({*range(0, extent - side + 1, step), extent - side})


def truncate(patches: Array) -> Array:
    """Drop the components of each patch (patches x volumes x voxels) that a Marchenko-Pastur law explains."""
    count, voxels = patches.shape[1:]
    values, vectors = np.linalg.eigh((patches @ patches.transpose(0, 2, 1)).astype(np.float64) / voxels)
    values = np.maximum(values, 0)
    rank = np.arange(1, count + 1)
    mean = np.cumsum(values, axis=1) / rank
    spread = (values - values[:, :1]) / (4 * np.sqrt(rank / (voxels - (count - rank))))
    noise = np.cumprod(spread < mean, axis=1).astype(bool)
    noise[:, -1] = False  # the largest component is the image
    kept = (vectors * ~noise[:, None, :]).astype(np.float32)
    clean: Array = kept @ (kept.transpose(0, 2, 1) @ patches)
    return clean


def brain_mask(b0: Array) -> Array:
    """Mask the head's largest bright part: median filter, Otsu's threshold, largest component, holes filled."""
    smooth = ndimage.median_filter(b0, size=3)
    smooth = np.minimum(smooth, np.percentile(smooth, 98))  # fluid is so bright that it would pull the threshold up
    ball = ndimage.generate_binary_structure(3, 1)
    opened = ndimage.binary_opening(smooth > otsu(smooth), ball)
    labels, count = ndimage.label(opened, ball)
    if count == 0:
        raise AppError("no brain found in the mean b=0 image: is it empty?")
    largest = labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1
    padded = np.pad(largest, 3)  # closing would eat the mask at the edges of the image
    closed = ndimage.binary_closing(padded, ball, iterations=2)[3:-3, 3:-3, 3:-3] | largest
    filled: Array = ndimage.binary_fill_holes(closed)
    for index in range(filled.shape[2]):
        filled[..., index] = ndimage.binary_fill_holes(filled[..., index])
    return filled


def otsu(values: Array) -> float:
    """Return the threshold that parts an image's histogram best (Otsu 1979)."""
    counts, edges = np.histogram(values, bins=256)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = counts.sum() - below
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(centres[np.nanargmax(between[:-1])])


def target_grid(series: Series, resolution: float) -> Grid:
    """Choose the output grid: isotropic voxels along the scan's axes, or the scan's own if they are within 5%."""
    shape, affine = series.data.shape[:3], series.affine
    ratio = resolution / nib.affines.voxel_sizes(affine)
    if np.all(np.abs(ratio - 1) <= KEEP_GRID_WITHIN):
        return shape, affine
    scaled = affine @ np.diag([*ratio, 1.0])
    scaled[:3, 3] = affine[:3, :3] @ ((ratio - 1) / 2) + affine[:3, 3]  # the volume's first corner stays
    return tuple(int(n) for n in np.maximum(1, np.round(shape / ratio))), scaled


def onto_grid(series: Series, grid: Grid) -> Series:
    """Bring a series onto a grid by trilinear interpolation, unless it is there already."""
    shape, affine = grid
    if series.data.shape[:3] == shape and np.allclose(series.affine, affine, atol=1e-3):
        return series
    matrix = np.linalg.inv(series.affine) @ affine
    data = np.empty((*shape, series.data.shape[3]), np.float32)
    for index in range(data.shape[3]):
        volume, out = series.data[..., index], data[..., index]
        ndimage.affine_transform(volume, matrix[:3, :3], matrix[:3, 3], shape, out, order=1, mode="nearest")
    return replace(series, data=data, affine=affine)


def neighbour_correlation(series: Series, mask: Array) -> float | None:
    """Return the mean correlation of each weighted volume with its nearest neighbour in q-space (Yeh et al. 2019)."""
    weighted = series.bvals >= B0_BELOW
    if weighted.sum() < 2:
        return None
    points = series.directions[:, weighted] * np.sqrt(series.bvals[weighted])
    apart = points[:, :, None] - points[:, None, :]
    opposed = points[:, :, None] + points[:, None, :]
    distance = np.minimum(np.linalg.norm(apart, axis=0), np.linalg.norm(opposed, axis=0))
    np.fill_diagonal(distance, np.inf)
    correlation = np.corrcoef(series.data[mask][:, weighted].T)
    return float(correlation[np.arange(len(correlation)), distance.argmin(axis=1)].mean())


def measures(kind: str, series: Series, mask: Array) -> dict[str, Any]:
    """Describe a series in the columns of QSIPrep's image_qc.tsv that are computed here."""
    zooms = nib.affines.voxel_sizes(series.affine)
    correlation = neighbour_correlation(series, mask)
    return {
        **{f"{kind}_dimension_{axis}": series.data.shape[i] for i, axis in enumerate("xyz")},
        **{f"{kind}_voxel_size_{axis}": round(float(zooms[i]), 4) for i, axis in enumerate("xyz")},
        f"{kind}_max_b": float(series.bvals.max()),
        f"{kind}_neighbor_corr": "n/a" if correlation is None else round(correlation, 6),
        f"{kind}_num_directions": int((series.bvals >= B0_BELOW).sum()),
    }


def process(run: Run, series: Series, grid: Grid, folder: Path) -> dict[str, Any]:
    """Preprocess one series into a folder; return its quality measures."""
    raw_mask = brain_mask(series.b0)
    denoised = denoise(series.data)
    clean = series.data if denoised is None else denoised
    done = onto_grid(replace(series, data=clean), grid)
    mask = brain_mask(done.b0)
    quality = {
        "file_name": run.path.name,
        **measures("raw", series, raw_mask),
        **measures("t1", done, mask),
        "removed_noise_sd": round(float((series.data - clean)[raw_mask].std()), 4),
        "mask_volume_ml": round(float(mask.sum() * abs(np.linalg.det(done.affine[:3, :3])) / 1000), 1),
    }
    folder.mkdir(parents=True, exist_ok=True)
    base = run.path.name.partition("_dwi.nii")[0] + "_space-ACPC"
    save(done.data, done.affine, folder / f"{base}_desc-preproc_dwi.nii.gz")
    save(mask.astype(np.uint8), done.affine, folder / f"{base}_desc-brain_mask.nii.gz")
    save(done.b0.astype(np.float32), done.affine, folder / f"{base}_dwiref.nii.gz")
    table = folder / f"{base}_desc-preproc_dwi"
    np.savetxt(table.with_suffix(".bval"), done.bvals[None], fmt="%g")
    np.savetxt(table.with_suffix(".bvec"), axes_of(done.affine).T @ done.directions, fmt="%.8f")
    np.savetxt(table.with_suffix(".b"), np.vstack([done.directions, done.bvals]).T, fmt="%.8f")
    steps = ["no denoising" if denoised is None else "MP-PCA denoising", "brain mask", "LPS+ axes", "output grid"]
    about = {"Sources": [run.path.name], "Steps": steps, "NotDone": NOT_DONE, "GeneratedBy": f"{NAME} {VERSION}"}
    table.with_suffix(".json").write_text(json.dumps(about, indent=2), encoding="utf-8")
    table_text = "\t".join(quality) + "\n" + "\t".join(str(value) for value in quality.values()) + "\n"
    (folder / f"{base}_desc-image_qc.tsv").write_text(table_text, encoding="utf-8")
    return quality


def save(data: Array, affine: Array, path: Path) -> None:
    """Write a NIfTI file whose coordinates are the scanner's."""
    image = nib.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, path)


def preprocess_session(runs: Sequence[Run], folder: Path, resolution: float) -> list[dict[str, Any]]:
    """Preprocess a session's series onto one grid, the first one's."""
    rows: list[dict[str, Any]] = []
    grid = None
    for run in runs:
        series = read_series(run.path)
        b0s = int((series.bvals < B0_BELOW).sum())
        if b0s == len(series.bvals):
            log.warning("%s has no volume above b=%g: left out", run.path.name, B0_BELOW)
            continue
        if b0s == 0:
            raise AppError(f"{run.path.name} has no volume below b={B0_BELOW:g}; its lowest is {series.bvals.min():g}")
        grid = grid or target_grid(series, resolution)
        log.info("%s: %d volumes of %s voxels", run.path.name, len(series.bvals), series.data.shape[:3])
        rows.append(process(run, series, grid, folder))
    if not rows:
        raise AppError(f"none of {', '.join(run.path.name for run in runs)} is diffusion weighted")
    return rows


def write_report(path: Path, subject: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the report: what was measured, and what was not done."""
    tables = ""
    for row in rows:
        cells = (f"<tr><th>{html.escape(k)}</th><td>{html.escape(str(v))}</td></tr>" for k, v in row.items())
        tables += f"<table>{''.join(cells)}</table>"
    title = f"{NAME} {VERSION}: sub-{subject}"
    note = f"Done: MP-PCA denoising, brain mask, reorientation, output grid. Not done: {NOT_DONE}. This is not QSIPrep."
    page = f"<!doctype html><meta charset='utf-8'><title>{title}</title><h1>{title}</h1><p>{note}</p>"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page + tables + "\n", encoding="utf-8")


def write_dataset_files(output_dir: Path) -> None:
    """Write what belongs to the dataset as a whole."""
    (output_dir / "logs").mkdir(parents=True, exist_ok=True)
    generated = [{"Name": NAME, "Version": VERSION, "Description": __doc__}]
    about = {"Name": NAME, "BIDSVersion": "1.9.0", "DatasetType": "derivative", "GeneratedBy": generated}
    (output_dir / "dataset_description.json").write_text(json.dumps(about, indent=2), encoding="utf-8")
    (output_dir / ".bidsignore").write_text("*.html\nlogs/\nfigures/\n", encoding="utf-8")
    (output_dir / "logs" / "CITATION.md").write_text(f"{NAME} {VERSION}. Not done: {NOT_DONE}.\n", encoding="utf-8")


def run_participant(subject: str, options: argparse.Namespace) -> None:
    """Preprocess one participant, and write its reports."""
    out, rows = options.output_dir / f"sub-{subject}", []
    runs = find_runs(subject, options)
    for session in dict.fromkeys(run.session for run in runs):
        place = out / f"ses-{session}" if session else out
        of_session = [run for run in runs if run.session == session]
        found = preprocess_session(of_session, place / "dwi", options.output_resolution)
        rows += found
        if session and options.subject_anatomical_reference == "sessionwise":
            write_report(place / f"sub-{subject}_ses-{session}.html", subject, found)
    if options.subject_anatomical_reference != "sessionwise" or not any(out.glob("ses-*")):
        write_report(options.output_dir / f"sub-{subject}.html", subject, rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the app; return 0 when every participant succeeded, else 1."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    parser = build_parser()
    options = parser.parse_args(arguments)
    check_options(parser, options)
    options.work_dir.mkdir(parents=True, exist_ok=True)
    write_dataset_files(options.output_dir)
    run_id, failed = str(uuid.uuid4()), 0
    for subject in options.participant_label:
        try:
            run_participant(subject, options)
        except Exception as error:  # a crash file, as the real tool leaves one, then the next participant
            failed += 1
            crash = options.output_dir / f"sub-{subject}" / "log" / run_id / f"crash-{NAME.replace(' ', '_')}.txt"
            crash.parent.mkdir(parents=True, exist_ok=True)
            crash.write_text(traceback.format_exc(), encoding="utf-8")
            log.error("%s failed for participant %s: %s", NAME, subject, error)
            if options.stop_on_first_crash:
                break
    if not failed:
        log.info("%s finished successfully!", NAME)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
