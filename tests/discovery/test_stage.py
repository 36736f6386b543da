"""Staging: a flat folder of images and nothing else."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import RawDataStorage

from neuroflow.adapters import get_adapter
from neuroflow.discovery.stage import main
from tests.adapters.requests import make_request
from tests.discovery.dicom_files import write_dicom, write_series


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "root" / "sub-01" / "ses-1"
    write_series(folder / "b", 2)
    write_series(folder / "a", 1, SeriesInstanceUID="1.2.3", SeriesNumber=2)
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "work" / "staged"


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def links(target: Path) -> dict[str, str]:
    return {path.name: str(path.readlink()) for path in sorted(target.iterdir())}


def test_images_become_numbered_links_to_where_they_are(source: Path, target: Path) -> None:
    assert run(source, target) == 0
    assert links(target) == {
        "000001.dcm": str(source / "a" / "IM_0001"),
        "000002.dcm": str(source / "b" / "IM_0001"),
        "000003.dcm": str(source / "b" / "IM_0002"),
    }


@pytest.mark.parametrize("prefix", ["/dicom", "/dicom/"])
def test_with_a_prefix_the_links_hold_in_the_container(source: Path, target: Path, prefix: str) -> None:
    assert run(source, target, "--link-prefix", prefix) == 0
    assert links(target)["000002.dcm"] == "/dicom/b/IM_0001"


def test_an_empty_glob_leaves_nothing_out(source: Path, target: Path) -> None:
    write_dicom(source / ".hidden")
    assert run(source, target) == 0
    assert len(links(target)) == 3
    assert run(source, target, "--ignore=") == 0
    assert len(links(target)) == 4


def test_what_is_no_image_is_left_out_and_printed(
    source: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dicom(source / "XX_1", sop_class="1.3.46.670589.11.0.0.12.2")
    write_dicom(source / "RAW", sop_class=RawDataStorage)
    (source / "empty").touch()
    (source / "broken").write_bytes(bytes(128) + b"DICM" + b"\xff" * 99)
    (source / "IM_9.part").write_bytes((source / "a" / "IM_0001").read_bytes())
    (source / "dangling").symlink_to("nowhere")
    assert run(source, target) == 0
    assert len(links(target)) == 3
    printed = capsys.readouterr()
    for line in ("not an image (2): 'RAW', 'XX_1'", "empty file (1)", "can't be read (1): 'broken'", "'dangling'"):
        assert line in printed.err
    assert printed.out == "staged 3 images\n"


def test_packed_images_become_plain_copies(source: Path, target: Path) -> None:
    image = source / "b" / "IM_0001"
    content = image.read_bytes()
    image.with_suffix(".gz").write_bytes(gzip.compress(content))
    image.unlink()
    assert run(source, target, "--link-prefix", "/dicom") == 0
    copy = target / "000002.dcm"
    assert not copy.is_symlink()
    assert copy.read_bytes() == content
    assert pydicom.dcmread(copy).PatientID == "P 01"


def test_a_packed_image_that_was_cut_is_an_error_and_not_a_missing_slice(
    source: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = gzip.compress(write_dicom(source / "big", PixelData=bytes(range(256)) * 200).read_bytes())
    (source / "big").write_bytes(packed[:-20])
    assert run(source, target) == 5
    assert "can't be unpacked" in capsys.readouterr().err


def test_links_that_a_container_could_not_follow_become_copies(source: Path, target: Path) -> None:
    store = write_dicom(source.parents[1] / "store" / "IM")
    (source / "a" / "IM_0001").unlink()
    (source / "a" / "IM_0001").symlink_to(store)
    assert run(source, target, "--link-prefix", "/dicom") == 0
    assert not (target / "000001.dcm").is_symlink()
    assert (target / "000001.dcm").read_bytes() == store.read_bytes()


def test_links_that_leave_the_root_are_left_out(
    source: Path, target: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (source / "link").symlink_to(write_dicom(tmp_path / "outside" / "IM"))
    assert run(source, target) == 0
    assert len(links(target)) == 3
    assert "link that leaves the DICOM root, not followed (1): 'link'" in capsys.readouterr().err
    assert run(source, target, "--root", tmp_path) == 0
    assert len(links(target)) == 4


def test_the_target_is_made_anew(source: Path, target: Path) -> None:
    assert run(source, target) == 0
    (source / "b" / "IM_0002").unlink()
    assert run(source, target) == 0
    assert len(links(target)) == 2


def test_a_target_that_holds_anything_else_is_left_alone(
    source: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target.mkdir(parents=True)
    (target / "thesis.tex").write_text("precious")
    assert run(source, target) == 2
    assert (target / "thesis.tex").read_text() == "precious"
    assert "'thesis.tex'" in capsys.readouterr().err


def test_source_and_target_must_not_lie_in_each_other(source: Path) -> None:
    assert run(source, source) == 2
    assert run(source, source / "staged") == 2
    assert run(source, source.parent) == 2
    assert (source / "b" / "IM_0002").exists()


def test_without_an_image_the_exit_code_is_three_and_the_reason_is_told(
    tmp_path: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "root" / "sub-01" / "ses-1"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("x")
    assert run(folder, target) == 3
    printed = capsys.readouterr().err
    assert "no DICOM image" in printed
    assert "not a DICOM file (1): 'notes.txt'" in printed
    assert not target.exists()


def test_a_folder_that_is_gone_is_told_so_that_the_conversion_fails_for_good(
    tmp_path: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "root" / "sub-01" / "ses-1"
    assert run(gone, target) == 5
    assert capsys.readouterr().err == f"error: the session's folder is not there: {gone}\n"
    patterns = get_adapter("bids_conversion").build(make_request("bids_conversion")).bad_input_patterns
    assert any(re.search(pattern, f"error: the session's folder is not there: {gone}") for pattern in patterns)


def test_a_part_that_can_not_be_opened_is_an_error(ordinary_user_root: Path) -> None:
    source = ordinary_user_root / "root" / "sub-01" / "ses-1"
    write_series(source, 2)
    (source / "IM_0002").chmod(0o000)
    assert run(source, ordinary_user_root / "staged") == 5
    assert run(ordinary_user_root / "gone", ordinary_user_root / "staged") == 5


def test_names_to_ignore_can_be_given(source: Path, target: Path) -> None:
    assert run(source, target, "--ignore", "a", "--ignore", "*2") == 0
    assert list(links(target).values()) == [str(source / "b" / "IM_0001")]


def test_hostile_names_are_linked_like_others(tmp_path: Path, target: Path) -> None:
    folder = tmp_path / "root" / "a b" / "x;'$(id)\n[y]"
    write_dicom(folder / "IM 1\n{0}")
    assert run(folder, target) == 0
    assert pydicom.dcmread(target / "000001.dcm").PatientID == "P 01"


def test_the_module_is_a_program(source: Path, target: Path) -> None:
    command = [sys.executable, "-m", "neuroflow.discovery.stage", str(source), str(target), "--link-prefix", "/dicom"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "staged 3 images\n", "")


def test_a_real_export_is_staged_without_its_private_files(
    philips_export: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(philips_export, target) == 0
    assert len(links(target)) == 544
    assert all(Path(link).name.startswith("IM_") for link in links(target).values())
    printed = capsys.readouterr().err
    assert "'DICOM/PS_0545', 'DICOM/XX_0546', 'DICOM/XX_0547'" in printed
