"""The phantom: what dcm2niix and a tensor fit make of it is what it was made of."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

np = pytest.importorskip("numpy", reason="the phantom needs the extra `demo`")
nibabel = pytest.importorskip("nibabel", reason="reading the converted phantom needs the extra `demo`")

import pydicom  # noqa: E402

from neuroflow.demo.dicom_writer import write_session  # noqa: E402
from neuroflow.demo.phantom import Phantom, unit  # noqa: E402

MAX_SESSION_BYTES = 2_000_000
FA_TOLERANCE = 0.03
MD_TOLERANCE = 0.05e-3  # mm²/s
MIN_COSINE = 0.95


def find_dcm2niix() -> str | None:
    beside = Path(sys.executable).parent / "dcm2niix"
    return str(beside) if beside.exists() else shutil.which("dcm2niix")


@dataclass(frozen=True)
class Converted:
    """What dcm2niix made of a session: RAS+ data, affine, b-values, gradient directions (RAS), sidecar."""

    data: np.ndarray
    affine: np.ndarray
    bvals: np.ndarray
    directions: np.ndarray
    sidecar: dict[str, object]


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Converted:
    program = find_dcm2niix()
    if program is None:
        pytest.skip("dcm2niix is not installed: pip install '.[demo]'")
    folder = tmp_path_factory.mktemp("phantom")
    write_session(folder / "dicom", subject="demo01", session="baseline", seed=11)
    (folder / "nifti").mkdir()
    command = [program, "-b", "y", "-z", "n", "-f", "dwi", "-o", str(folder / "nifti"), str(folder / "dicom")]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert sorted(path.name for path in (folder / "nifti").iterdir()) == ["dwi.bval", "dwi.bvec", "dwi.json", "dwi.nii"]
    image = nibabel.load(folder / "nifti" / "dwi.nii")
    canonical = nibabel.as_closest_canonical(image)
    return Converted(
        data=np.asarray(canonical.dataobj, dtype=float),
        affine=canonical.affine,
        bvals=np.loadtxt(folder / "nifti" / "dwi.bval"),
        directions=to_world(np.loadtxt(folder / "nifti" / "dwi.bvec").T, image.affine),
        sidecar=json.loads((folder / "nifti" / "dwi.json").read_text(encoding="utf-8")),
    )


def to_world(bvecs: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Turn FSL's directions, whose x is flipped where the affine's determinant is positive, into RAS."""
    flipped = bvecs * ([-1, 1, 1] if np.linalg.det(affine[:3, :3]) > 0 else [1, 1, 1])
    rotation = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return flipped @ rotation.T


def fit_tensors(signal: np.ndarray, bvals: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Fit log-linear tensors (weighted by the signal squared); returns (voxels, 3, 3)."""
    x, y, z = directions.T
    design = -bvals[:, None] * np.stack([x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z], axis=1)
    design = np.column_stack([design, np.ones(len(bvals))])
    tensors = []
    for values in np.maximum(signal, 1.0):
        fit = np.linalg.lstsq(design * values[:, None], np.log(values) * values, rcond=None)[0]
        a, b, c, d, e, f = fit[:6]
        tensors.append([[a, d, e], [d, b, f], [e, f, c]])
    return np.array(tensors)


def fractional_anisotropy(eigenvalues: np.ndarray) -> np.ndarray:
    spread = eigenvalues - eigenvalues.mean(axis=-1, keepdims=True)
    return np.sqrt(1.5 * (spread**2).sum(axis=-1) / (eigenvalues**2).sum(axis=-1))


def test_the_analytic_tensors_have_the_fa_and_md_that_the_truth_states() -> None:
    phantom = Phantom.default()
    for label, truth in phantom.truth().items():
        values = np.linalg.eigvalsh(phantom.regions[label - 1].tensor())
        assert fractional_anisotropy(values) == pytest.approx(truth.fa, abs=1e-9)
        assert values.mean() == pytest.approx(truth.md)


def test_regions_are_large_lie_in_the_head_and_do_not_touch() -> None:
    phantom = Phantom.default()
    atlas, affine = phantom.labels()
    assert atlas.shape == phantom.shape
    assert set(np.unique(atlas)) == {0, *phantom.truth()}
    assert phantom.head()[atlas > 0].all()
    for label, region in enumerate(phantom.regions, start=1):
        inside = np.argwhere(atlas == label)
        assert len(inside) > 150
        centre = affine[:3, :3] @ inside.mean(axis=0) + affine[:3, 3]
        assert np.linalg.norm(centre - np.asarray(region.centre)) < phantom.voxel_mm
        for other in phantom.regions[label:]:
            assert np.linalg.norm(np.subtract(region.centre, other.centre)) > region.radius + other.radius


@pytest.mark.slow
def test_the_same_seed_gives_the_same_files_and_another_seed_gives_others(tmp_path: Path) -> None:
    for name, seed in (("first", 5), ("again", 5), ("other", 6)):
        write_session(tmp_path / name, subject="a1", session="s1", seed=seed)

    def contents(name: str) -> dict[str, bytes]:
        return {str(p.relative_to(tmp_path / name)): p.read_bytes() for p in (tmp_path / name).rglob("*.dcm")}

    assert contents("first") == contents("again")
    assert contents("first").keys() == contents("other").keys()
    assert contents("first") != contents("other")


def test_a_session_is_small(tmp_path: Path) -> None:
    write_session(tmp_path, subject="a1", session="s1", seed=1)
    files = list(tmp_path.rglob("*.dcm"))
    assert len(files) == 16 * 21
    assert sum(path.stat().st_size for path in files) < MAX_SESSION_BYTES


def test_files_are_plausible_mr_images_of_one_series(tmp_path: Path) -> None:
    write_session(tmp_path, subject="demo01", session="baseline", seed=1)
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in sorted(tmp_path.rglob("*.dcm"))]
    assert {header.SOPClassUID for header in headers} == {pydicom.uid.MRImageStorage}
    assert len({header.SeriesInstanceUID for header in headers}) == 1
    assert len({header.SOPInstanceUID for header in headers}) == len(headers)
    assert [header.InstanceNumber for header in headers] == list(range(1, len(headers) + 1))
    assert {(h.SeriesDescription, h.ProtocolName) for h in headers} == {("dwi_dir-AP", "dwi_dir-AP")}
    assert {header.PatientID for header in headers} == {"demo01"}


def test_dcm2niix_gives_back_grid_weighting_and_phase_encoding(converted: Converted) -> None:
    phantom = Phantom.default()
    assert converted.data.shape == (*phantom.shape, len(phantom.gradients.bvals))
    assert np.allclose(converted.affine, phantom.affine, atol=1e-3)
    assert converted.bvals.tolist() == list(phantom.gradients.bvals)
    assert np.allclose(converted.directions, phantom.gradients.directions, atol=1e-3)
    assert converted.sidecar["PhaseEncodingDirection"] == "j-"  # anterior to posterior
    assert 0.01 < float(str(converted.sidecar["TotalReadoutTime"])) < 0.1


def test_the_converted_image_holds_the_phantoms_own_voxels(converted: Converted) -> None:
    assert np.abs(converted.data - Phantom.default().signal(seed=11)).max() <= 0.5  # rounded to whole numbers


def test_tensors_fitted_to_the_converted_image_are_the_phantoms(converted: Converted) -> None:
    phantom = Phantom.default()
    atlas, _ = phantom.labels()
    directions = phantom.directions()
    for label, truth in phantom.truth().items():
        tensors = fit_tensors(converted.data[atlas == label], converted.bvals, converted.directions)
        values, vectors = np.linalg.eigh(tensors)
        assert fractional_anisotropy(values).mean() == pytest.approx(truth.fa, abs=FA_TOLERANCE), truth.name
        assert values.mean() == pytest.approx(truth.md, abs=MD_TOLERANCE), truth.name
        principal = np.linalg.eigh(tensors.mean(axis=0))[1][:, -1]
        assert abs(principal @ unit(directions[label])) > MIN_COSINE, truth.name
        if truth.fa >= 0.5:  # below that, noise turns single voxels
            assert np.abs(vectors[:, :, -1] @ unit(directions[label])).mean() > MIN_COSINE, truth.name


def test_a_flipped_gradient_table_would_be_noticed(converted: Converted) -> None:
    phantom = Phantom.default()
    atlas, _ = phantom.labels()
    for axis in range(3):
        flipped = converted.directions.copy()
        flipped[:, axis] *= -1
        cosines = []
        for label, direction in phantom.directions().items():
            tensors = fit_tensors(converted.data[atlas == label], converted.bvals, flipped)
            cosines.append(abs(np.linalg.eigh(tensors.mean(axis=0))[1][:, -1] @ unit(direction)))
        assert min(cosines) < 0.5


def test_a_phantom_of_another_shape_is_written_as_well(tmp_path: Path) -> None:
    phantom = replace(Phantom.default(), shape=(24, 28, 6), voxel_mm=4.0)
    write_session(tmp_path, subject="a1", session="s1", seed=1, phantom=phantom)
    header = pydicom.dcmread(min(tmp_path.rglob("*.dcm")))
    assert (header.Columns, header.Rows) == (24, 28)
    assert len(list(tmp_path.rglob("*.dcm"))) == 6 * 21
