#!/usr/bin/env python3
"""Neuroflow demo reconstruction: a small BIDS App with the command line and the output layout of QSIRecon 26.0.0.

It is not QSIRecon. It fits the diffusion tensor (weighted least squares) and brings an atlas that is given in scanner
space onto the scan's grid; it registers nothing, follows no fibres, and demands no FreeSurfer licence.
"""

from __future__ import annotations

import argparse
import csv
import html
import json
import logging
import re
import sys
import traceback
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

NAME = "neuroflow demo reconstruction"
VERSION = "1.0.0"
RECON_SPECS = {"demo_tensor": "DemoTensor"}  # name: suffix of the derivative dataset
BUILT_IN_ATLAS = "DemoSlabs"
B0_BELOW = 50.0  # s/mm²
TENSOR_B_UP_TO = 1600.0  # s/mm²: the tensor model doesn't hold above, where weaker volumes suffice
CHUNK_VOXELS = 50_000
UNITS = {"fa": "1", "md": "1e-3 mm^2/s", "ad": "1e-3 mm^2/s", "rd": "1e-3 mm^2/s"}
NOT_DONE = "no registration, no tractography, no other model than the tensor"

Array = NDArray[Any]
nib: Any = nibabel  # half of it is untyped
log = logging.getLogger("demo.recon")


class AppError(Exception):
    """Say why a participant can't be reconstructed."""


@dataclass(frozen=True)
class Atlas:
    """Labels on a grid in scanner space, with a name for each; no labels for the built-in atlas."""

    name: str
    regions: Mapping[int, str]
    labels: Array | None = None
    affine: Array | None = None


def build_parser() -> argparse.ArgumentParser:
    """Build the parser with QSIRecon 26.0.0's names."""
    parser = argparse.ArgumentParser(prog="recon_app.py", description=__doc__)
    parser.add_argument("input_dir", type=Path)
    parser.add_argument("output_dir", type=Path)
    parser.add_argument("analysis_level", choices=["participant"])
    parser.add_argument("--participant-label", nargs="+", type=lambda text: text.removeprefix("sub-"))
    parser.add_argument("--session-id", nargs="+", type=lambda text: text.removeprefix("ses-"))
    parser.add_argument("--recon-spec", required=True, help=f"one of: {', '.join(RECON_SPECS)}")
    parser.add_argument("--atlases", nargs="+", default=[BUILT_IN_ATLAS], help="atlases to bring to the scan's grid")
    parser.add_argument(
        "-d", "--datasets", nargs="+", default=[], action="extend", metavar="NAME=PATH", help="folders with atlases"
    )
    parser.add_argument("-w", "--work-dir", type=Path, default=Path("work"))
    parser.add_argument("--stop-on-first-crash", action="store_true")
    parser.add_argument("--version", action="version", version=f"{NAME} {VERSION} (command line of QSIRecon 26.0.0)")
    ignored = parser.add_argument_group("accepted, without effect here")
    ignored.add_argument("--input-type", choices=["qsiprep"], default="qsiprep")
    ignored.add_argument("--fs-license-file", help="not demanded here; QSIRecon always needs one")
    for names in (("--nprocs", "--nthreads"), ("--omp-nthreads",), ("--mem", "--mem-mb"), ("--fs-subjects-dir",)):
        ignored.add_argument(*names)
    for flag in ("--notrack", "--skip-odf-reports"):
        ignored.add_argument(flag, action="store_true")
    return parser


def check_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End with exit code 2 where options make no sense; load the atlases."""
    if options.recon_spec not in RECON_SPECS:
        allowed = ", ".join(RECON_SPECS)
        parser.error(f"--recon-spec {options.recon_spec!r} is unknown to {NAME}; allowed: {allowed}")
    if not options.input_dir.is_dir():
        parser.error(f"Path does not exist: <{options.input_dir}>.")
    if options.input_dir.resolve() == options.output_dir.resolve():
        parser.error("The selected output folder is the same as the input BIDS folder.")
    if options.input_dir.resolve() in options.work_dir.resolve().parents:
        parser.error("The selected working directory is a subdirectory of the input BIDS folder.")
    present = {path.name.removeprefix("sub-") for path in options.input_dir.glob("sub-*") if path.is_dir()}
    options.participant_label = sorted(set(options.participant_label or present))
    missing = sorted(set(options.participant_label) - present)
    if missing:
        parser.error(f"One or more participant labels were not found in the BIDS directory: {', '.join(missing)}.")
    try:
        datasets = dict(item.split("=", 1) for item in options.datasets)
        options.atlases = [find_atlas(name, datasets) for name in dict.fromkeys(options.atlases)]
    except (AppError, OSError) as error:
        parser.error(str(error))
    except ValueError:
        parser.error(f"--datasets takes NAME=PATH, not {' '.join(options.datasets)!r}")


def find_atlas(name: str, datasets: Mapping[str, str]) -> Atlas:
    """Find an atlas by name in the datasets; `DemoSlabs` is built in."""
    if name == BUILT_IN_ATLAS:
        return Atlas(name, slab_names())
    found = []
    for key, folder in datasets.items():
        images = sorted(path for path in Path(folder).rglob("*_dseg.nii*") if path.is_file())
        named = [path for path in images if re.search(rf"(atlas|seg)-{re.escape(name)}(_|$)", path.name)]
        found += named or (images if key == name else [])
    if len(found) != 1:
        places = ", ".join(f"{key}={folder}" for key, folder in datasets.items()) or "no --datasets given"
        raise AppError(
            f"atlas {name!r}: {len(found)} images atlas-{name}_*_dseg.nii.gz found, one is needed ({places}); "
            f"built in: {BUILT_IN_ATLAS}"
        )
    return read_atlas(name, found[0])


def read_atlas(name: str, path: Path) -> Atlas:
    """Read an atlas image and the one label table (`*_dseg.tsv`) in its folder or above."""
    tables = sorted(path.parent.glob("*_dseg.tsv")) or sorted(path.parent.parent.glob("*_dseg.tsv"))
    tables = [table for table in tables if f"-{name}_" in table.name] or tables
    if len(tables) != 1:
        raise AppError(f"atlas {name!r}: {len(tables)} label tables (*_dseg.tsv) beside {path}, one is needed")
    with tables[0].open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    try:
        regions = {int(row["index"]): row.get("name") or row["label"] for row in rows if int(row["index"])}
    except (KeyError, TypeError, ValueError) as error:
        raise AppError(f"{tables[0]} needs the columns `index` (integers) and `name` or `label`") from error
    image = nib.load(path)
    labels = np.asarray(image.dataobj)
    unnamed = sorted({int(value) for value in np.unique(labels)} - set(regions) - {0})
    if unnamed:
        raise AppError(f"{path} has labels that {tables[0].name} doesn't name: {unnamed}")
    return Atlas(name, regions, labels.astype(np.int32), image.affine)


def slab_names() -> dict[int, str]:
    """Name the eight parts of the built-in atlas."""
    sides, depths, heights = ("LH", "RH"), ("posterior", "anterior"), ("inferior", "superior")
    names = [f"{side}_{depth}_{height}" for height in heights for depth in depths for side in sides]
    return dict(enumerate(names, start=1))


def dseg_of(atlas: Atlas, mask: Array, affine: Array) -> Array:
    """Bring an atlas onto a scan's grid (nearest neighbour), within its brain mask."""
    if atlas.labels is None or atlas.affine is None:
        voxels = np.argwhere(mask)
        world = nib.affines.apply_affine(affine, voxels)
        upper = world > world.mean(axis=0)  # right, anterior, superior of the mask's centre
        labels = np.zeros(mask.shape, np.int32)
        labels[tuple(voxels.T)] = 1 + upper @ np.array([1, 2, 4])
    else:
        matrix = np.linalg.inv(atlas.affine) @ affine
        labels = ndimage.affine_transform(
            atlas.labels, matrix[:3, :3], matrix[:3, 3], mask.shape, order=0, mode="constant", cval=0
        )
    labels = np.where(mask, labels, 0).astype(np.int32)
    lost = sorted(set(atlas.regions) - set(np.unique(labels).tolist()))
    if len(lost) == len(atlas.regions):
        raise AppError(f"atlas {atlas.name} and the brain mask have no voxel in common: are they in one space?")
    if lost:
        log.warning("atlas %s: no voxel in the brain mask for %s", atlas.name, [atlas.regions[i] for i in lost])
    return labels


def usable(bvals: Array) -> Array:
    """Choose the volumes for the fit: up to b=1600 where those hold six directions, else all."""
    low = bvals <= TENSOR_B_UP_TO
    enough: bool = ((bvals >= B0_BELOW) & low).sum() >= 6
    return low if enough else np.ones_like(low)


def fit_tensor(signals: Array, bvals: Array, bvecs: Array) -> Array:
    """Fit tensors to signals (voxels x volumes); return eigenvalues, ascending, in 1e-3 mm²/s (voxels x 3).

    Weighted linear least squares on the log signal, the weights from an unweighted fit (Salvador et al. 2005).
    """
    b, (x, y, z) = bvals / 1000, np.where(bvals < B0_BELOW, 0, bvecs)
    columns = [-b * x * x, -b * y * y, -b * z * z, -2 * b * x * y, -2 * b * x * z, -2 * b * y * z, np.ones_like(b)]
    design = np.stack(columns, axis=1)
    if np.linalg.matrix_rank(design) < 7:
        raise AppError(
            f"{(bvals >= B0_BELOW).sum()} weighted volumes don't determine a tensor: 6 directions are needed"
        )
    products = np.einsum("ni,nj->nij", design, design).reshape(len(b), 49)
    inverse = np.linalg.pinv(design).T
    parts = []
    for start in range(0, len(signals), CHUNK_VOXELS):
        chunk = signals[start : start + CHUNK_VOXELS].astype(np.float64)
        floor = np.maximum(chunk.max(axis=1, keepdims=True) * 1e-4, 1e-6)
        logs = np.log(np.maximum(chunk, floor))
        expected = logs @ inverse @ design.T
        weights = np.exp(2 * (expected - expected.max(axis=1, keepdims=True)))
        normal = (weights @ products).reshape(-1, 7, 7) + 1e-9 * np.eye(7)
        parts.append(np.linalg.solve(normal, ((weights * logs) @ design)[..., None])[:, :6, 0])
    dxx, dyy, dzz, dxy, dxz, dyz = np.concatenate(parts).T
    tensors = np.stack([dxx, dxy, dxz, dxy, dyy, dyz, dxz, dyz, dzz], axis=1).reshape(-1, 3, 3)
    values: Array = np.maximum(np.linalg.eigvalsh(tensors), 0)  # noise can make them negative
    return values


def scalars_of(values: Array) -> dict[str, Array]:
    """Return FA, MD, AD and RD of eigenvalues."""
    mean = values.mean(axis=1)
    spread = ((values - mean[:, None]) ** 2).sum(axis=1)
    size = (values**2).sum(axis=1)
    fa = np.sqrt(1.5 * spread / np.where(size > 0, size, 1))
    return {"fa": np.clip(fa, 0, 1), "md": mean, "ad": values[:, 2], "rd": values[:, :2].mean(axis=1)}


def find_inputs(options: argparse.Namespace, subject: str) -> dict[str | None, list[Path]]:
    """List a participant's preprocessed series, by session."""
    root = options.input_dir / f"sub-{subject}"
    found: dict[str | None, list[Path]] = {}
    pattern = "dwi/*_space-ACPC*_desc-preproc_dwi.nii*"
    for path in sorted([*root.glob(pattern), *root.glob(f"ses-*/{pattern}")]):
        match = re.search(r"_ses-([a-zA-Z0-9]+)_", path.name)
        session = match[1] if match else None
        if options.session_id is None or session in options.session_id:
            found.setdefault(session, []).append(path)
    return found


def reconstruct(path: Path, folder: Path) -> tuple[Array, Array]:
    """Fit one series and write its maps; return its brain mask and affine."""
    base = path.name.partition("_desc-preproc_dwi")[0]
    mask_path = path.with_name(f"{base}_desc-brain_mask.nii.gz")
    tables = [path.with_name(f"{base}_desc-preproc_dwi.{kind}") for kind in ("bval", "bvec")]
    for needed in (mask_path, *tables):
        if not needed.is_file():
            raise AppError(f"{path.name} has no {needed.name} beside it")
    image = nib.load(path)
    mask = np.asarray(nib.load(mask_path).dataobj) > 0
    bvals, bvecs = np.loadtxt(tables[0], ndmin=1), np.loadtxt(tables[1], ndmin=2)
    if image.shape != (*mask.shape, bvals.size) or bvecs.shape != (3, bvals.size) or not mask.any():
        raise AppError(f"{path.name}: image {image.shape}, mask {mask.shape} and {bvals.size} b-values don't fit")
    chosen = usable(bvals)
    signals = np.asarray(image.dataobj, dtype=np.float32)[mask][:, chosen]
    log.info("%s: tensor fit of %d voxels over %d volumes", path.name, *signals.shape)
    for param, values in scalars_of(fit_tensor(signals, bvals[chosen], bvecs[:, chosen])).items():
        volume = np.zeros(mask.shape, np.float32)
        volume[mask] = values
        name = folder / f"{base}_model-tensor_param-{param}_dwimap"
        save(volume, image.affine, name.with_suffix(".nii.gz"))
        about = {"Units": UNITS[param], "Sources": [path.name], "Volumes": int(chosen.sum()), "Fit": "weighted linear"}
        write_json(name.with_suffix(".json"), {**about, "MaxB": float(bvals[chosen].max()), "GeneratedBy": NAME})
    return mask, image.affine


def save(data: Array, affine: Array, path: Path) -> None:
    """Write a NIfTI file whose coordinates are the scanner's."""
    image = nib.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON for people to read."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_dataset_files(options: argparse.Namespace) -> None:
    """Write what belongs to the datasets as a whole, label tables included."""
    generated = [{"Name": NAME, "Version": VERSION, "Description": __doc__}]
    about = {"Name": NAME, "BIDSVersion": "1.9.0", "DatasetType": "derivative", "GeneratedBy": generated}
    for folder in (options.output_dir, derivative_dir(options)):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "dataset_description.json", about)
    for atlas in options.atlases:
        lines = [f"{index}\t{name}" for index, name in sorted(atlas.regions.items())]
        # QSIRecon 26.0.0 writes the first; the second is where QSIParc 0.1.2 looks for the regions' names.
        newer = f"sourcedata/atlases/tpl-scanner/tpl-scanner_atlas-{atlas.name}_dseg.tsv"
        older = f"atlases/atlas-{atlas.name}/atlas-{atlas.name}_dseg.tsv"
        for table in (options.output_dir / newer, options.output_dir / older):
            table.parent.mkdir(parents=True, exist_ok=True)
            table.write_text("\n".join(["index\tlabel", *lines]) + "\n", encoding="utf-8")


def derivative_dir(options: argparse.Namespace) -> Path:
    """Name the derivative dataset of the recon spec."""
    folder: Path = options.output_dir / "derivatives" / f"qsirecon-{RECON_SPECS[options.recon_spec]}"
    return folder


def reconstruct_session(paths: Sequence[Path], options: argparse.Namespace, place: str, stem: str) -> None:
    """Reconstruct a session's series, and write its parcellations on their common grid."""
    folder, labels = derivative_dir(options) / place / "dwi", options.output_dir / place / "dwi"
    folder.mkdir(parents=True, exist_ok=True)
    labels.mkdir(parents=True, exist_ok=True)
    results = [reconstruct(path, folder) for path in paths]
    mask, affine = results[0]
    for (other, other_affine), path in zip(results, paths, strict=True):
        if other.shape != mask.shape or not np.allclose(other_affine, affine, atol=1e-3):
            raise AppError(f"{path.name} and {paths[0].name} lie on different grids: one parcellation can't fit both")
    for atlas in options.atlases:
        name = labels / f"{stem}_space-ACPC_seg-{atlas.name}_dseg.nii.gz"
        save(dseg_of(atlas, mask, affine), affine, name)
    title = f"{NAME} {VERSION}: {stem}"
    text = f"Tensor fit of {', '.join(path.name for path in paths)}. Not done: {NOT_DONE}. This is not QSIRecon."
    page = f"<!doctype html><meta charset='utf-8'><title>{title}</title><h1>{title}</h1><p>{html.escape(text)}</p>\n"
    (derivative_dir(options) / f"{stem}.html").write_text(page, encoding="utf-8")


def run_participant(subject: str, options: argparse.Namespace) -> None:
    """Reconstruct one participant's sessions; like QSIRecon, finding none is no error: check the files."""
    found = find_inputs(options, subject)
    if not found:
        log.info("No dwi files found for %s", subject)
        return
    write_dataset_files(options)
    for session, paths in found.items():
        stem = f"sub-{subject}_ses-{session}" if session else f"sub-{subject}"
        reconstruct_session(paths, options, stem.replace("_", "/"), stem)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the app; return 0 unless a participant failed."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    parser = build_parser()
    options = parser.parse_args(arguments)
    check_options(parser, options)
    options.work_dir.mkdir(parents=True, exist_ok=True)
    options.output_dir.mkdir(parents=True, exist_ok=True)
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
