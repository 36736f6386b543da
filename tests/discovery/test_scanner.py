"""The scanner: sessions as they are on disk, and no more reading than there is news."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.uid import EnhancedMRImageStorage, RawDataStorage

from neuroflow.config.sections import RequiredScan
from neuroflow.discovery.dicom import Header, Refusal, Trouble, read_header
from neuroflow.errors import DiscoveryError
from tests.discovery.dicom_files import SERIES_UID, write_dicom, write_series
from tests.discovery.scanning import CountingReader, Scan, known_from

DWI = RequiredScan(name="dwi", pattern="dwi", min_files=3)


def test_a_session_is_told_with_its_files_and_series(root: Path, scan: Scan) -> None:
    folder = root / "sub-01" / "ses-1"
    write_series(folder / "dwi", 3)
    write_series(folder / "t1", 2, SeriesInstanceUID="1.2.3", SeriesNumber=2, SeriesDescription="T1w", ProtocolName="")
    (session,) = scan(required=(DWI,)).found
    assert (session.subject, session.session, session.path) == ("01", "1", str(folder))
    assert session.files == 5
    assert session.bytes == sum(path.stat().st_size for path in folder.rglob("IM_*"))
    assert [(s.number, s.description, s.files, s.images) for s in session.series] == [
        (2, "T1w", 2, 2),
        (5, "dwi_dir-AP", 3, 3),
    ]
    assert session.problems == ()
    assert session.missing == ()


def test_every_header_is_read_once_and_an_unchanged_session_is_not_opened(root: Path, scan: Scan) -> None:
    write_series(root / "sub-01" / "ses-1", 4)
    first, second = CountingReader(), CountingReader()
    report = scan(read=first)
    assert len(first.paths) == len(set(first.paths)) == 4
    assert scan(known_from(report.found), read=second) == report
    assert second.paths == []


@pytest.mark.parametrize("settings", [{}, {"labels": "dicom"}])
def test_only_the_session_that_changed_is_opened(root: Path, scan: Scan, settings: dict[str, str]) -> None:
    write_series(root / "sub-01" / "ses-1", 2, StudyDate="20240101")
    write_series(root / "sub-01" / "ses-2", 2, StudyDate="20240102")
    before = scan(**settings)
    write_dicom(root / "sub-01" / "ses-2" / "IM_0003", StudyDate="20240102", InstanceNumber=3)
    reader = CountingReader()
    after = scan(known_from(before.found), read=reader, **settings)
    assert {path.parent.name for path in reader.paths} == {"ses-2"}
    assert after.found[0] == before.found[0]
    assert after.found[1].fingerprint != before.found[1].fingerprint
    assert after.found[1].series[0].images == 3


def test_an_unchanged_session_is_measured_by_a_protocol_that_changed(root: Path, scan: Scan) -> None:
    write_series(root / "sub-01" / "ses-1", 2)
    known = known_from(scan().found)
    assert scan(known).found[0].missing == ()
    (session,) = scan(known, required=(DWI,)).found
    assert session.missing == ("dwi: needs at least 3 images in a series matching 'dwi'; found 'dwi_dir-AP' with 2",)


def test_series_that_share_a_flat_folder_are_counted_apart(root: Path, scan: Scan) -> None:
    folder = root / "sub-01" / "ses-1" / "DICOM"
    for number in range(1, 31):
        kind = number % 3
        write_dicom(folder / f"IM_{number:04d}", SeriesInstanceUID=f"1.2.{kind}", SeriesNumber=kind + 1)
    (session,) = scan().found
    assert [(s.uid, s.images) for s in session.series] == [("1.2.0", 10), ("1.2.1", 10), ("1.2.2", 10)]


def test_private_files_under_the_uid_of_the_images_are_not_counted_as_images(root: Path, scan: Scan) -> None:
    folder = root / "sub-01" / "ses-1"
    write_series(folder, 3)
    write_dicom(folder / "XX_1", sop_class="1.3.46.670589.11.0.0.12.2")
    write_dicom(folder / "RAW", sop_class=RawDataStorage, SeriesInstanceUID="1.9", SeriesNumber=9)
    (session,) = scan().found
    assert [(s.uid, s.is_image, s.files) for s in session.series] == [
        (SERIES_UID, True, 3),
        (SERIES_UID, False, 1),
        ("1.9", False, 1),
    ]


def test_frames_of_multi_frame_files_are_images(root: Path, scan: Scan) -> None:
    write_dicom(
        root / "sub-01/ses-1/IM",
        sop_class=EnhancedMRImageStorage,
        NumberOfFrames=60,
        PixelData=bytes(32 * 60),
    )
    (session,) = scan(required=(DWI,)).found
    assert (session.series[0].files, session.series[0].images) == (1, 60)
    assert session.missing == ()


def test_bad_files_are_named_and_the_good_ones_are_counted(root: Path, scan: Scan) -> None:
    folder = root / "sub-01" / "ses-1"
    write_series(folder, 3)
    (folder / "empty").touch()
    (folder / "notes.txt").write_text("x")
    (folder / "broken").write_bytes(bytes(128) + b"DICM" + b"\xff" * 99)
    cut = write_dicom(folder / "cut", Rows=64, Columns=64, PixelData=bytes(64 * 64 * 2), InstanceNumber=9)
    cut.write_bytes(cut.read_bytes()[:-4000])
    (session,) = scan(required=(DWI,)).found
    assert session.series[0].images == 3
    assert session.files == 7
    assert session.missing == ()
    assert set(session.problems) == {
        "image that is shorter than its pixels, not counted (1): 'cut'",
        "empty file (1): 'empty'",
        "not a DICOM file (1): 'notes.txt'",
        "DICOM header that can't be read (1): 'broken'",
    }


def test_the_same_image_twice_is_counted_once(root: Path, scan: Scan) -> None:
    folder = root / "sub-01" / "ses-1"
    write_series(folder, 3)
    (folder / "IM_0001 copy").write_bytes((folder / "IM_0001").read_bytes())
    (session,) = scan().found
    assert (session.series[0].files, session.series[0].images) == (4, 3)
    assert session.problems == ("image that is there twice, counted once (1): 'IM_0001 copy'",)


def test_images_of_two_patients_in_one_session_are_told_without_their_ids(root: Path, scan: Scan) -> None:
    folder = root / "sub-01" / "ses-1"
    write_dicom(folder / "a", PatientID="SMITH7")
    write_dicom(folder / "b", PatientID="JONES8")
    (session,) = scan().found
    assert session.problems == ("images of 2 patients (PatientID) in one session, the first of each in: 'a', 'b'",)


def test_an_image_without_a_series_number_is_told(root: Path, scan: Scan) -> None:
    write_dicom(root / "sub-01/ses-1/IM", SeriesNumber=None)
    assert "without a series number" in scan().found[0].problems[0]


@pytest.mark.parametrize("content", [None, b"", b"no DICOM"])
def test_a_session_without_an_image_lacks_any_image(root: Path, scan: Scan, content: bytes | None) -> None:
    folder = root / "sub-01" / "ses-1"
    folder.mkdir(parents=True)
    if content is not None:
        (folder / "file").write_bytes(content)
    (session,) = scan(required=(DWI,)).found
    assert session.missing == ("any image: no DICOM image could be read",)


def test_what_could_not_be_opened_holds_the_session_back_until_it_can_be(root: Path, scan: Scan) -> None:
    folder = root / "sub-01" / "ses-1"
    write_series(folder, 3)

    def denied(path: Path, keywords: tuple[str, ...]) -> Header | Refusal:
        if path.name == "IM_0002":
            return Refusal(Trouble.UNOPENED, "Permission denied")
        return read_header(path, keywords)

    first = scan(read=denied).found[0]
    assert first.missing == ("1 files or folders that could not be opened: 'IM_0002'",)
    # The permission changes neither size nor time: what is known must not stand in the way of another try.
    known = known_from((first,))
    assert scan(known, read=denied).found[0] == first
    repaired = scan(known).found[0]
    assert repaired.missing == ()
    assert repaired.fingerprint != first.fingerprint
    reader = CountingReader()
    scan(known_from((repaired,)), read=reader)
    assert reader.paths == []


def test_permissions_are_never_fatal(ordinary_user_root: Path, scan: Scan) -> None:
    root = ordinary_user_root
    for place in ("sub-01/ses-1", "sub-01/ses-2", "sub-02/ses-1", "sub-03/ses-1"):
        write_series(root / place, 2)
    (root / "sub-01/ses-1/IM_0001").chmod(0o000)
    (root / "sub-01/ses-2").chmod(0o000)
    (root / "sub-02").chmod(0o000)
    report = scan(at=root)
    assert [(item.subject, item.session) for item in report.found] == [("01", "1"), ("03", "1")]
    assert report.found[0].problems == ("file that could not be opened (1): 'IM_0001'",)
    assert any("'sub-01/ses-2' can't be listed (Permission denied)" in line for line in report.problems)
    assert any("'sub-02' can't be listed (Permission denied)" in line for line in report.problems)


def test_a_root_that_is_gone_is_an_error_and_not_an_empty_report(root: Path, scan: Scan) -> None:
    with pytest.raises(DiscoveryError, match=r"gone' can't be listed: No such file"):
        scan(at=root / "gone")
    assert scan().found == ()


def test_session_folders_that_are_links_are_followed_within_the_root_and_once(
    root: Path, scan: Scan, tmp_path: Path
) -> None:
    write_series(root / "sub-01" / "ses-1", 2)
    write_series(root / ".store" / "scan", 2)
    write_series(tmp_path / "outside" / "scan", 2)
    (root / "sub-02").mkdir()
    links = {
        "ses-kept": root / ".store" / "scan",
        "ses-out": tmp_path / "outside" / "scan",
        "ses-latest": root / "sub-01" / "ses-1",
        "ses-loop": root,
        "ses-subject": root / "sub-01",
        "ses-gone": root / "gone",
    }
    for name, target in links.items():
        (root / "sub-02" / name).symlink_to(target)
    report = scan()
    assert [(item.subject, item.session) for item in report.found] == [("01", "1"), ("02", "kept")]
    assert len(report.problems) == 5
    for name in links.keys() - {"ses-kept"}:
        assert sum(f"'sub-02/{name}'" in problem for problem in report.problems) == 1


def test_files_outside_of_any_session_folder_are_reported(root: Path, scan: Scan) -> None:
    write_series(root / "sub-01", 2)
    (root / "Thumbs.db").touch()
    (problem,) = scan().problems
    assert problem.startswith("folder 'sub-01' holds 2 files outside of any session folder")


def test_ignored_folders_are_no_sessions(root: Path, scan: Scan) -> None:
    for place in ("sub-01/ses-1", ".trash/ses-1", "sub-01/.snapshot"):
        write_series(root / place, 1)
    report = scan()
    assert [item.session for item in report.found] == ["1"]
    assert report.problems == ()


def test_a_file_that_vanishes_during_the_scan_is_looked_for_again(root: Path, scan: Scan) -> None:
    folder = root / "sub-01" / "ses-1"
    write_series(folder, 2)

    def while_moving(path: Path, keywords: tuple[str, ...]) -> Header | Refusal:
        (folder / "IM_0002").unlink(missing_ok=True)
        return read_header(path, keywords)

    first = scan(read=while_moving).found[0]
    assert first.missing
    second = scan(known_from((first,))).found[0]
    assert second.missing == ()
    assert second.files == 1


def test_relative_names_in_the_configuration_give_absolute_paths(
    root: Path, scan: Scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_series(root / "sub-01" / "ses-1", 1)
    monkeypatch.chdir(root.parent)
    assert Path(scan(at=Path(root.name)).found[0].path).is_absolute()


def test_a_real_export_is_counted_as_it_is(philips_export: Path, scan: Scan) -> None:
    required = (RequiredScan(name="dwi", pattern="dwi|dti", min_files=60, max_files=70),)
    reader = CountingReader()
    (session,) = scan(at=philips_export.parents[1], required=required, read=reader).found
    assert [(s.images, s.is_image, s.modality) for s in session.series if s.is_image] == [(544, True, "MR")]
    assert sum(s.files for s in session.series if not s.is_image) == 3
    assert len(reader.paths) == session.files == 548  # with the licence, without the DICOMDIR
    assert session.problems == ("not a DICOM file (1): 'LICENSE'",)
    assert session.missing == (
        "dwi: needs 60-70 images in a series matching 'dwi|dti'; found 'DTI_Biobank_2mm_MB3S2_EPI' with 544",
    )
