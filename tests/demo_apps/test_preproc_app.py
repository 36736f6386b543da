"""The demo preprocessing: QSIPrep's command line and layout, real numbers, and no claim to be QSIPrep."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import RunApp
from .head import NOISE, SHAPE, SIZE_MM, Head, nib, np, write_dwi

pytestmark = pytest.mark.slow

APP = "preproc_app.py"
STEM = "sub-01_ses-a_space-ACPC"


def usual(bids: Path, out: Path, *further: object) -> list[object]:
    return [
        bids,
        out,
        "participant",
        "--participant-label",
        "01",
        "--output-resolution",
        SIZE_MM,
        "-w",
        "work",
        *further,
    ]


def dwi_folder(out: Path) -> Path:
    return out / "sub-01" / "ses-a" / "dwi"


def load(path: Path) -> Any:
    return np.asarray(nib.load(path).dataobj)


def test_writes_the_files_that_qsiprep_writes(prepared: Path) -> None:
    out = prepared
    names = {path.name for path in dwi_folder(out).iterdir()}
    assert names == {
        *(f"{STEM}_desc-preproc_dwi.{kind}" for kind in ("nii.gz", "bval", "bvec", "b", "json")),
        f"{STEM}_desc-brain_mask.nii.gz",
        f"{STEM}_dwiref.nii.gz",
        f"{STEM}_desc-image_qc.tsv",
    }
    assert (out / "sub-01.html").stat().st_size > 0
    assert (out / "logs").is_dir()
    assert not list(out.rglob("crash-*"))


def test_says_that_it_is_the_demo(prepared: Path, run_app: RunApp) -> None:
    out = prepared
    description = json.loads((out / "dataset_description.json").read_text())
    assert description["GeneratedBy"][0]["Name"] == "neuroflow demo preprocessing"
    assert "This is not QSIPrep" in (out / "sub-01.html").read_text()
    version = run_app(APP, "--version").stdout
    assert version.startswith("neuroflow demo preprocessing ")


def test_sessionwise_reports_lie_with_their_session(bids: Path, tmp_path: Path, run_app: RunApp) -> None:
    out = tmp_path / "out"
    run_app(APP, *usual(bids, out, "--subject-anatomical-reference", "sessionwise"))
    assert (out / "sub-01" / "ses-a" / "sub-01_ses-a.html").is_file()
    assert not (out / "sub-01.html").exists()


def test_denoising_removes_noise_and_keeps_the_signal(tmp_path: Path, run_app: RunApp, head: Head) -> None:
    bids, out = tmp_path / "bids", tmp_path / "out"
    write_dwi(bids / "sub-01" / "ses-a" / "dwi", "sub-01_ses-a", head, axes="LPS")  # the output's axes
    clean = np.flip(head.signals(noise=0), axis=(0, 1))
    assert run_app(APP, *usual(bids, out)).returncode == 0
    raw = load(bids / "sub-01" / "ses-a" / "dwi" / "sub-01_ses-a_dwi.nii.gz")
    result = load(dwi_folder(out) / f"{STEM}_desc-preproc_dwi.nii.gz")
    mask = load(dwi_folder(out) / f"{STEM}_desc-brain_mask.nii.gz") > 0
    before, after = (np.sqrt(((image - clean)[mask] ** 2).mean()) for image in (raw, result))
    assert before == pytest.approx(NOISE, rel=0.1)
    assert after < 0.6 * before
    assert abs((result - clean)[mask].mean()) < 0.1 * NOISE


def test_the_mask_is_the_head(prepared: Path, head: Head) -> None:
    mask = load(dwi_folder(prepared) / f"{STEM}_desc-brain_mask.nii.gz") > 0
    truth = np.flip(head.signals(noise=0)[..., 0] > 0, axis=(0, 1))
    overlap = 2 * (mask & truth).sum() / (mask.sum() + truth.sum())
    assert overlap > 0.95


@pytest.mark.parametrize("axes", ["RAS", "LAS", "LPS", "PSR", "AIL"])
def test_gradients_follow_the_axes(axes: str, tmp_path: Path, run_app: RunApp, head: Head) -> None:
    bids, out = tmp_path / "bids", tmp_path / "out"
    write_dwi(bids / "sub-01" / "ses-a" / "dwi", "sub-01_ses-a", head, axes=axes)
    assert run_app(APP, *usual(bids, out)).returncode == 0
    folder = dwi_folder(out)
    image = nib.load(folder / f"{STEM}_desc-preproc_dwi.nii.gz")
    assert nib.aff2axcodes(image.affine) == ("L", "P", "S")
    table = np.loadtxt(folder / f"{STEM}_desc-preproc_dwi.b")
    weighted = head.bvals > 50
    assert table[weighted, :3] == pytest.approx(head.world.T[weighted], abs=1e-5)
    assert (table[~weighted, :3] == 0).all()
    bvecs = np.loadtxt(folder / f"{STEM}_desc-preproc_dwi.bvec")[:, weighted]
    # LPS+ has a positive determinant, so FSL's x is flipped once more: back to the scanner's.
    assert bvecs == pytest.approx(np.diag([1, -1, 1]) @ head.world[:, weighted], abs=1e-5)


def test_the_image_does_not_depend_on_the_stored_axes(tmp_path: Path, run_app: RunApp, head: Head) -> None:
    results = []
    for axes in ("RAS", "PSR"):
        bids, out = tmp_path / axes, tmp_path / f"out{axes}"
        write_dwi(bids / "sub-01" / "ses-a" / "dwi", "sub-01_ses-a", head, axes=axes, signals=head.signals())
        run_app(APP, *usual(bids, out))
        results.append(nib.load(dwi_folder(out) / f"{STEM}_dwiref.nii.gz"))
    first, second = results
    assert second.affine == pytest.approx(first.affine, abs=1e-4)
    difference = np.abs(np.asarray(first.dataobj) - np.asarray(second.dataobj))
    assert difference.mean() < NOISE  # the patches of the denoising lie differently


def test_resamples_to_the_output_resolution(bids: Path, tmp_path: Path, run_app: RunApp) -> None:
    out = tmp_path / "out"
    arguments = [bids, out, "participant", "--participant-label", "01", "--output-resolution", 2, "-w", "work"]
    assert run_app(APP, *arguments).returncode == 0
    image = nib.load(dwi_folder(out) / f"{STEM}_desc-preproc_dwi.nii.gz")
    assert image.header.get_zooms()[:3] == pytest.approx((2, 2, 2))
    assert image.shape == (50, 50, 20, 20)
    native = nib.load(bids / "sub-01" / "ses-a" / "dwi" / "sub-01_ses-a_dwi.nii.gz")
    centres = [img.affine @ [*((np.array(img.shape[:3]) - 1) / 2), 1] for img in (image, native)]
    assert centres[0] == pytest.approx(centres[1], abs=1e-3)


def test_a_resolution_within_five_percent_keeps_the_grid(bids: Path, tmp_path: Path, run_app: RunApp) -> None:
    out = tmp_path / "out"
    run_app(APP, bids, out, "participant", "--participant-label", "01", "--output-resolution", 2.4, "-w", "work")
    assert nib.load(dwi_folder(out) / f"{STEM}_dwiref.nii.gz").shape == SHAPE


def test_quality_is_measured(prepared: Path) -> None:
    with (dwi_folder(prepared) / f"{STEM}_desc-image_qc.tsv").open() as stream:
        (row,) = csv.DictReader(stream, delimiter="\t")
    assert (row["raw_dimension_x"], row["raw_num_directions"], row["raw_max_b"]) == ("40", "18", "1000.0")
    assert 0 < float(row["raw_neighbor_corr"]) < float(row["t1_neighbor_corr"]) <= 1
    assert "mean_fd" not in row  # head motion is not estimated, so no number stands for it


def test_runs_of_one_session_share_a_grid(bids: Path, tmp_path: Path, run_app: RunApp, head: Head) -> None:
    folder, out = bids / "sub-01" / "ses-a" / "dwi", tmp_path / "out"
    for path in folder.iterdir():
        path.unlink()
    write_dwi(folder, "sub-01_ses-a_dir-AP", head)
    write_dwi(folder, "sub-01_ses-a_dir-PA", head, axes="LSP")
    assert run_app(APP, *usual(bids, out)).returncode == 0
    first, second = (
        nib.load(dwi_folder(out) / f"sub-01_ses-a_dir-{way}_space-ACPC_dwiref.nii.gz") for way in ("AP", "PA")
    )
    assert second.affine == pytest.approx(first.affine, abs=1e-3)
    assert second.shape == first.shape


def test_data_without_sessions(tmp_path: Path, run_app: RunApp, head: Head) -> None:
    bids, out = tmp_path / "bids", tmp_path / "out"
    write_dwi(bids / "sub-01" / "dwi", "sub-01", head)
    assert run_app(APP, *usual(bids, out)).returncode == 0
    assert (out / "sub-01" / "dwi" / "sub-01_space-ACPC_desc-preproc_dwi.nii.gz").is_file()


def test_a_trace_image_is_left_out(tmp_path: Path, run_app: RunApp, head: Head) -> None:
    bids, out = tmp_path / "bids", tmp_path / "out"
    folder = bids / "sub-01" / "ses-a" / "dwi"
    write_dwi(folder, "sub-01_ses-a", head)
    table = np.loadtxt(folder / "sub-01_ses-a_dwi.bvec")
    table[:, 5] = 0
    np.savetxt(folder / "sub-01_ses-a_dwi.bvec", table, fmt="%.8f")
    done = run_app(APP, *usual(bids, out))
    assert "left out 1 volume(s)" in done.stderr
    assert nib.load(dwi_folder(out) / f"{STEM}_desc-preproc_dwi.nii.gz").shape[3] == 19


def test_a_filter_file_chooses_the_run(bids: Path, tmp_path: Path, run_app: RunApp, head: Head) -> None:
    write_dwi(bids / "sub-01" / "ses-b" / "dwi", "sub-01_ses-b", head)
    filters, out = tmp_path / "filter.json", tmp_path / "out"
    filters.write_text('{"dwi": {"session": ["b"], "datatype": "dwi"}}')
    assert run_app(APP, *usual(bids, out, "--bids-filter-file", filters)).returncode == 0
    assert [path.name for path in (out / "sub-01").iterdir()] == ["ses-b"]
    filters.write_text('{"dwi": {"echo": 1}}')
    refused = run_app(APP, *usual(bids, out, "--bids-filter-file", filters))
    assert refused.returncode == 2
    assert "can't filter by echo" in refused.stderr


def test_no_dwi_is_a_failure_with_a_crash_file(tmp_path: Path, run_app: RunApp) -> None:
    bids, out = tmp_path / "bids", tmp_path / "out"
    (bids / "sub-01" / "ses-a" / "anat").mkdir(parents=True)
    done = run_app(APP, *usual(bids, out))
    assert done.returncode == 1
    assert "No DWI images found for participant 01" in done.stderr
    assert len(list(out.glob("sub-01/log/*/crash-*.txt"))) == 1
    assert (out / "dataset_description.json").exists()  # as with QSIPrep, this proves nothing


def test_a_missing_session_is_named(bids: Path, tmp_path: Path, run_app: RunApp) -> None:
    done = run_app(APP, *usual(bids, tmp_path / "out", "--session-label", "z"))
    assert done.returncode == 1
    assert "No DWI files found with session filter z" in done.stderr


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda folder: (folder / "sub-01_ses-a_dwi.bvec").unlink(), "has no sub-01_ses-a_dwi.bvec"),
        (lambda folder: (folder / "sub-01_ses-a_dwi.bval").write_text("0 1000\n"), "don't fit"),
        (lambda folder: (folder / "sub-01_ses-a_dwi.bval").write_text("1000 " * 20), "no volume below b=50"),
        (lambda folder: (folder / "sub-01_ses-a_dwi.bval").write_text("0 " * 20), "is diffusion weighted"),
    ],
)
def test_broken_input_is_a_failure(break_it: Any, words: str, bids: Path, tmp_path: Path, run_app: RunApp) -> None:
    break_it(bids / "sub-01" / "ses-a" / "dwi")
    done = run_app(APP, *usual(bids, tmp_path / "out"))
    assert done.returncode == 1
    assert words in done.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--participant-label", "77"], "One or more participant labels were not found in the BIDS directory: 77"),
        (["--fs-license-file", "x"], "unrecognized arguments"),
        (["--session-id", "a"], "unrecognized arguments"),
        (["--output-resolution", "-1"], "above 0"),
    ],
)
def test_what_qsiprep_refuses_is_refused(
    change: list[str], words: str, bids: Path, tmp_path: Path, run_app: RunApp
) -> None:
    done = run_app(APP, *usual(bids, tmp_path / "out"), *change)
    assert done.returncode == 2
    assert words in done.stderr


def test_the_output_resolution_is_required(bids: Path, tmp_path: Path, run_app: RunApp) -> None:
    assert run_app(APP, bids, tmp_path / "out", "participant").returncode == 2


def test_the_work_directory_stays_out_of_the_dataset(bids: Path, tmp_path: Path, run_app: RunApp) -> None:
    done = run_app(APP, *usual(bids, tmp_path / "out", "-w", bids / "work"))
    assert done.returncode == 2
    assert "working directory is a subdirectory" in done.stderr
