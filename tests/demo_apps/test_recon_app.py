"""The demo reconstruction: QSIRecon's command line and layout, tensors that are right, atlases in scanner space."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import RunApp, load_app
from .head import B0_SIGNAL, REGIONS, SIZE_MM, Head, directions, nib, np, write_atlas, write_dwi

pytestmark = pytest.mark.slow

APP = "recon_app.py"
STEM = "sub-01_ses-a_space-ACPC"


def usual(prepared: Path, out: Path, *further: object) -> list[object]:
    return [
        prepared,
        out,
        "participant",
        "--participant-label",
        "01",
        "--recon-spec",
        "demo_tensor",
        "-w",
        "w",
        *further,
    ]


def test_regions_have_their_fa_and_md(prepared: Path, tmp_path: Path, run_app: RunApp, head: Head) -> None:
    out, atlas = tmp_path / "recon", write_atlas(tmp_path / "atlas", "Boxes", head)
    done = run_app(APP, *usual(prepared, out, "--atlases", "Boxes", "--datasets", f"boxes={atlas}"))
    assert done.returncode == 0, done.stderr
    labels = np.asarray(nib.load(out / "sub-01" / "ses-a" / "dwi" / f"{STEM}_seg-Boxes_dseg.nii.gz").dataobj)
    maps = out / "derivatives" / "qsirecon-DemoTensor" / "sub-01" / "ses-a" / "dwi"
    for label, region in REGIONS.items():
        voxels = labels == label
        assert voxels.sum() == (head.labels == label).sum()
        for param, truth, close in (("fa", region.fa, 0.02), ("md", region.md, 0.02)):
            image = nib.load(maps / f"{STEM}_model-tensor_param-{param}_dwimap.nii.gz")
            assert np.asarray(image.dataobj)[voxels].mean() == pytest.approx(truth, abs=close), (region.name, param)


def test_fa_lies_between_zero_and_one(prepared: Path, tmp_path: Path, run_app: RunApp) -> None:
    out = tmp_path / "recon"
    run_app(APP, *usual(prepared, out))
    fa = nib.load(next(out.rglob("*_param-fa_dwimap.nii.gz"))).get_fdata()
    assert np.isfinite(fa).all()
    assert 0 <= fa.min() <= fa.max() <= 1


def test_the_built_in_atlas_divides_the_mask(prepared: Path, tmp_path: Path, run_app: RunApp) -> None:
    out = tmp_path / "recon"
    assert run_app(APP, *usual(prepared, out)).returncode == 0
    image = nib.load(out / "sub-01" / "ses-a" / "dwi" / f"{STEM}_seg-DemoSlabs_dseg.nii.gz")
    labels = np.asarray(image.dataobj)
    mask = nib.load(next(prepared.rglob("*_desc-brain_mask.nii.gz"))).get_fdata() > 0
    assert ((labels > 0) == mask).all()
    assert sorted(np.unique(labels)) == list(range(9))
    table = (out / "atlases" / "atlas-DemoSlabs" / "atlas-DemoSlabs_dseg.tsv").read_text().splitlines()
    names = dict(line.split("\t") for line in table[1:])
    for label, name in names.items():
        x, y, z = nib.affines.apply_affine(image.affine, np.argwhere(labels == int(label))).mean(axis=0)
        sides = ("RH" if x > 0 else "LH", "anterior" if y > 0 else "posterior", "superior" if z > 0 else "inferior")
        assert name == "_".join(sides)


def test_an_atlas_on_another_grid_lands_in_place(prepared: Path, tmp_path: Path, run_app: RunApp, head: Head) -> None:
    out, folder = tmp_path / "recon", write_atlas(tmp_path / "atlas", "Boxes", head)
    path = next(folder.rglob("*_dseg.nii.gz"))
    ornt = nib.orientations.ornt_transform(*(nib.orientations.axcodes2ornt(axes) for axes in ("RAS", "SLP")))
    turned = nib.load(path).as_reoriented(ornt)
    nib.save(nib.Nifti1Image(np.asarray(turned.dataobj), turned.affine), path.with_name("x_atlas-Boxes_dseg.nii.gz"))
    path.unlink()
    assert run_app(APP, *usual(prepared, out, "--atlases", "Boxes", "-d", f"Boxes={folder}")).returncode == 0
    image = nib.load(out / "sub-01" / "ses-a" / "dwi" / f"{STEM}_seg-Boxes_dseg.nii.gz")
    back = nib.as_closest_canonical(image)
    assert (np.asarray(back.dataobj) == head.labels).all()


def test_the_layout_says_who_made_it(prepared: Path, tmp_path: Path, run_app: RunApp) -> None:
    out = tmp_path / "recon"
    options = ["--session-id", "a", "--nprocs", 2, "--omp-nthreads", 1, "--mem", 4000, "--notrack"]
    done = run_app(APP, *usual(prepared, out, *options, "--fs-license-file", "absent.txt", "--stop-on-first-crash"))
    assert done.returncode == 0, done.stderr
    derivative = out / "derivatives" / "qsirecon-DemoTensor"
    for folder in (out, derivative):
        description = json.loads((folder / "dataset_description.json").read_text())
        assert description["GeneratedBy"][0]["Name"] == "neuroflow demo reconstruction"
    assert "This is not QSIRecon" in (derivative / "sub-01_ses-a.html").read_text()
    params = {path.name.split("param-")[1].split("_")[0] for path in derivative.rglob("*_dwimap.nii.gz")}
    assert params == {"fa", "md", "ad", "rd"}


def test_a_session_that_is_not_there_ends_with_exit_code_0_and_nothing(
    prepared: Path, tmp_path: Path, run_app: RunApp
) -> None:
    """QSIRecon's trap, kept on purpose: whoever runs it has to look at the files."""
    out = tmp_path / "recon"
    done = run_app(APP, *usual(prepared, out, "--session-id", "z"))
    assert done.returncode == 0
    assert "No dwi files found for 01" in done.stderr
    assert "finished successfully" in done.stderr
    assert not [path for path in out.rglob("*") if path.is_file()]


def test_data_without_sessions(tmp_path: Path, run_app: RunApp, head: Head) -> None:
    bids, prep, out = (tmp_path / name for name in ("bids", "prep", "recon"))
    write_dwi(bids / "sub-01" / "dwi", "sub-01", head)
    run_app("preproc_app.py", bids, prep, "participant", "--output-resolution", SIZE_MM, "-w", "work")
    assert run_app(APP, *usual(prep, out)).returncode == 0
    assert (out / "sub-01" / "dwi" / "sub-01_space-ACPC_seg-DemoSlabs_dseg.nii.gz").is_file()


def test_strong_weighting_is_left_out_of_the_tensor(tmp_path: Path, run_app: RunApp) -> None:
    bids, prep, out = (tmp_path / name for name in ("bids", "prep", "recon"))
    head = Head(bvals=np.array([0.0, *[1000.0] * 12, *[3000.0] * 12]))
    write_dwi(bids / "sub-01" / "ses-a" / "dwi", "sub-01_ses-a", head)
    run_app("preproc_app.py", bids, prep, "participant", "--output-resolution", SIZE_MM, "-w", "work")
    run_app(APP, *usual(prep, out))
    about = json.loads(next(out.rglob("*_param-fa_dwimap.json")).read_text())
    assert (about["Volumes"], about["MaxB"]) == (13, 1000.0)


def test_too_few_directions_are_a_failure(tmp_path: Path, run_app: RunApp) -> None:
    bids, prep, out = (tmp_path / name for name in ("bids", "prep", "recon"))
    write_dwi(bids / "sub-01" / "ses-a" / "dwi", "sub-01_ses-a", Head(bvals=np.array([0.0, *[1000.0] * 4])))
    run_app("preproc_app.py", bids, prep, "participant", "--output-resolution", SIZE_MM, "-w", "work")
    done = run_app(APP, *usual(prep, out))
    assert done.returncode == 1
    assert "6 directions are needed" in done.stderr
    assert len(list(out.glob("sub-01/log/*/crash-*.txt"))) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            ["--recon-spec", "dsi_studio_gqi"],
            "'dsi_studio_gqi' is unknown to neuroflow demo reconstruction; allowed: demo",
        ),
        (["--participant-label", "77"], "One or more participant labels were not found in the BIDS directory: 77"),
        (["--atlases", "4S156Parcels"], "atlas '4S156Parcels': 0 images"),
        (["--datasets", "nothing"], "NAME=PATH"),
        (["--session-label", "a"], "unrecognized arguments"),
    ],
)
def test_what_makes_no_sense_is_refused(
    change: list[str], words: str, prepared: Path, tmp_path: Path, run_app: RunApp
) -> None:
    done = run_app(APP, *usual(prepared, tmp_path / "out"), *change)
    assert done.returncode == 2
    assert words in done.stderr


def test_the_recon_spec_is_required(prepared: Path, tmp_path: Path, run_app: RunApp) -> None:
    assert run_app(APP, prepared, tmp_path / "out", "participant").returncode == 2


def test_an_atlas_of_another_space_is_a_failure(prepared: Path, tmp_path: Path, run_app: RunApp, head: Head) -> None:
    folder = write_atlas(tmp_path / "atlas", "Boxes", head)
    path = next(folder.rglob("*_dseg.nii.gz"))
    image = nib.load(path)
    far = np.eye(4)
    far[:3, 3] = 500
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), far @ image.affine), path)
    done = run_app(APP, *usual(prepared, tmp_path / "out", "--atlases", "Boxes", "-d", f"b={folder}"))
    assert done.returncode == 1
    assert "no voxel in common" in done.stderr


def test_qsiparc_makes_the_tables(prepared: Path, tmp_path: Path, run_app: RunApp, head: Head) -> None:
    """The real QSIParc, on the reconstruction's root folder; the tables agree with the phantom."""
    pytest.importorskip("qsiparc")
    from neuroflow.demo.table import region_rows, region_table

    out, parc, atlas = tmp_path / "recon", tmp_path / "parc", write_atlas(tmp_path / "atlas", "Boxes", head)
    run_app(APP, *usual(prepared, out, "--atlases", "Boxes", "-d", f"Boxes={atlas}"))
    beside = Path(sys.executable).with_name("qsiparc")
    program = str(beside) if beside.is_file() else shutil.which("qsiparc")
    assert program, "the package qsiparc is here, its command is not"
    done = subprocess.run(
        [program, "run", str(out), str(parc), "--no-connectome", "--participant-label", "01", "--session-label", "a"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    tables = list(parc.rglob("*_diffmap.tsv"))
    assert len(tables) == 4
    rows = region_rows(tables, REGIONS)
    assert [(row.subject, row.session, row.region) for row in rows] == [
        ("01", "a", region.name) for region in REGIONS.values()
    ]
    for row in rows:
        assert row.difference == pytest.approx(0, abs=0.02), row
    assert region_table(tables, {}).row_count == 3  # names come from the label table where no truth is given
    assert {row.region for row in region_rows(tables, {})} == {region.name for region in REGIONS.values()}


def test_the_fit_weights_down_what_is_noise() -> None:
    """Strongly attenuated signals are mostly noise: a fit that weights them like the others is worse."""
    app = load_app(APP)
    bvals, bvecs = np.array([0.0, 0.0, *[2500.0] * 30]), np.zeros((3, 32))
    bvecs[:, 2:] = directions(30)
    along, across = 1.7, 0.3
    clean = B0_SIGNAL * np.exp(-bvals / 1000 * (across + (along - across) * bvecs[0] ** 2))
    rng = np.random.default_rng(1)
    signals = np.abs(clean + rng.normal(0, 20, (2000, 32)))

    fa = app.scalars_of(app.fit_tensor(signals, bvals, bvecs))["fa"]
    design = -bvals[:, None] / 1000 * np.stack([bvecs[i] * bvecs[j] for i in range(3) for j in range(3)], axis=1)
    logs = np.log(signals) - np.log(signals[:, :2]).mean(axis=1, keepdims=True)
    plain = np.linalg.eigvalsh((logs @ np.linalg.pinv(design).T).reshape(-1, 3, 3))
    unweighted = app.scalars_of(np.maximum(plain, 0))["fa"]

    truth = app.scalars_of(np.array([[across, across, along]]))["fa"][0]
    errors = [np.sqrt(((values - truth) ** 2).mean()) for values in (fa, unweighted)]
    assert errors[0] < 0.8 * errors[1]
    assert app.scalars_of(np.ones((1, 3)))["fa"][0] == 0
