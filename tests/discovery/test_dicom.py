"""Headers: what is read of good files, and what bad ones are called."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest
from pydicom.uid import EnhancedMRImageStorage, RawDataStorage

from neuroflow.discovery.dicom import Header, Refusal, Trouble, check_keyword, is_image_class, read_header
from neuroflow.errors import DiscoveryError
from tests.discovery.dicom_files import write_dicom


def read(path: Path, *keywords: str) -> Header:
    header = read_header(path, keywords)
    assert isinstance(header, Header), header
    return header


def trouble(path: Path) -> Trouble:
    answer = read_header(path)
    assert isinstance(answer, Refusal), answer
    return answer.trouble


def test_a_header_tells_series_and_study(tmp_path: Path) -> None:
    header = read(write_dicom(tmp_path / "IM", SeriesNumber=7))
    assert (header.series_number, header.description, header.protocol) == (7, "dwi_dir-AP", "diffusion")
    assert (header.modality, header.study_date, header.patient_id) == ("MR", "20240517", "P 01")
    assert header.is_image
    assert header.frames == 1


def test_frames_of_a_multi_frame_file_are_told(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "IM", sop_class=EnhancedMRImageStorage, NumberOfFrames=60, PixelData=bytes(32 * 60))
    header = read(path)
    assert header.is_image
    assert header.frames == 60
    assert not header.is_cut


def test_further_fields_are_read_on_request_even_when_they_come_late(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "IM", PerformedProcedureStepDescription="visit 2")
    keyword = "PerformedProcedureStepDescription"
    assert read(path, keyword).fields == {keyword: "visit 2"}


def test_a_packed_file_is_read_like_a_plain_one(tmp_path: Path) -> None:
    plain = write_dicom(tmp_path / "IM.dcm")
    packed = tmp_path / "IM.dcm.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert read(packed).series_uid == read(plain).series_uid
    assert read(packed).is_packed
    assert not read(plain).is_packed


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", Trouble.EMPTY),
        (b"scanned on a rainy day", Trouble.NOT_DICOM),
        (bytes(400), Trouble.NOT_DICOM),
        (bytes(128) + b"DICM", Trouble.BROKEN),
        (bytes(128) + b"DICM" + b"\xff" * 300, Trouble.BROKEN),
        (gzip.compress(b"a text", mtime=0), Trouble.NOT_DICOM),
        (b"\x1f\x8b and then no gzip", Trouble.BROKEN),
    ],
)
def test_files_that_give_no_header_are_told_apart(tmp_path: Path, content: bytes, expected: Trouble) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert trouble(path) is expected


def test_a_packed_file_that_was_cut_is_broken(tmp_path: Path) -> None:
    whole = gzip.compress(write_dicom(tmp_path / "IM").read_bytes())
    path = tmp_path / "IM.gz"
    path.write_bytes(whole[:60])
    assert trouble(path) is Trouble.BROKEN


def test_a_file_that_was_cut_in_its_header_is_broken_and_never_raises(tmp_path: Path) -> None:
    whole = write_dicom(tmp_path / "IM").read_bytes()
    position = whole.index(b"\x20\x00\x0e\x00UI")  # SeriesInstanceUID
    path = tmp_path / "cut"
    for length in range(132, position, 7):
        path.write_bytes(whole[:length])
        assert trouble(path) is Trouble.BROKEN, length


def test_a_file_that_was_cut_in_its_pixels_is_told(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "IM", Rows=64, Columns=64, PixelData=bytes(64 * 64 * 2))
    assert not read(path).is_cut
    path.write_bytes(path.read_bytes()[:-4000])
    assert read(path).is_cut


def test_random_damage_is_an_answer_and_not_an_error(tmp_path: Path) -> None:
    whole = write_dicom(tmp_path / "IM").read_bytes()
    generator = random.Random(4)  # noqa: S311 # no secret
    path = tmp_path / "damaged"
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(generator.randint(1, 12)):
            content[generator.randrange(132, len(content))] = generator.randrange(256)
        path.write_bytes(bytes(content))
        assert isinstance(read_header(path), Header | Refusal)


def test_a_file_that_is_gone_could_not_be_opened(tmp_path: Path) -> None:
    answer = read_header(tmp_path / "gone")
    assert isinstance(answer, Refusal)
    assert answer.trouble is Trouble.UNOPENED
    assert "No such file" in answer.detail


def test_text_holds_no_control_characters(tmp_path: Path) -> None:
    header = read(write_dicom(tmp_path / "IM", SeriesDescription="dwi\x00 \x1b[31m a\r\nb", ProtocolName="éß"))
    assert header.description == "dwi [31m a b"
    # The file declares no character set, so that only ASCII is sure; the other characters must not raise.
    assert header.protocol.isprintable()


def test_values_that_break_the_rules_reach_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_dicom(tmp_path / "IM", StudyInstanceUID="1.2.3.4.5.6.7")
    path.write_bytes(path.read_bytes().replace(b"1.2.3.4.5.6.7", b"SMITH.JOHN.70"))
    assert read(path).study_uid == "SMITH.JOHN.70"
    assert caplog.records == []


def test_an_unreadable_number_is_none_and_an_image_without_series_is_broken(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "IM", SeriesNumber="7")
    path.write_bytes(path.read_bytes().replace(b"\x20\x00\x11\x00IS\x02\x007 ", b"\x20\x00\x11\x00IS\x02\x00x "))
    assert read(path).series_number is None
    assert trouble(write_dicom(tmp_path / "no_series", SeriesInstanceUID=None)) is Trouble.BROKEN


@pytest.mark.parametrize(
    ("uid", "is_image"),
    [
        ("1.2.840.10008.5.1.4.1.1.4", True),
        ("1.2.840.10008.5.1.4.1.1.4.1", True),
        ("1.2.840.10008.5.1.4.1.1.11.1", False),  # presentation state
        ("1.2.840.10008.5.1.4.1.1.66", False),  # raw data
        ("1.2.840.10008.5.1.4.1.1.88.22", False),  # structured report
        ("1.3.46.670589.11.0.0.12.2", False),  # Philips, private
        ("1.3.12.2.1107.5.9.1", False),  # Siemens, private
        ("", False),
        ("not a uid", False),
    ],
)
def test_image_classes_are_told_from_others(uid: str, is_image: bool) -> None:
    assert is_image_class(uid) is is_image


def test_a_header_tells_an_image_from_raw_data(tmp_path: Path) -> None:
    written = [write_dicom(tmp_path / "IM"), write_dicom(tmp_path / "RAW", sop_class=RawDataStorage)]
    headers = [read_header(path) for path in written]
    assert [isinstance(header, Header) and header.is_image for header in headers] == [True, False]


def test_a_name_that_is_no_keyword_is_refused() -> None:
    with pytest.raises(DiscoveryError, match="'PatientNumber' is no DICOM keyword"):
        check_keyword("PatientNumber")
