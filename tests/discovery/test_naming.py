"""Labels: from names, from a CSV, from headers; what fits none is named with what would be allowed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from neuroflow.discovery.claims import Claims
from neuroflow.discovery.naming import Labels
from neuroflow.discovery.scanner import ScanReport
from neuroflow.errors import DiscoveryError
from tests.discovery.dicom_files import write_dicom
from tests.discovery.scanning import Scan, known_from

HOSTILE = ["a b", "x;rm -rf", "new\nline", "quote'", "ünï", "sub-", "sub-a_b", "$(id)", "[x]", "१२"]


def labels(report: ScanReport) -> list[tuple[str, str]]:
    return [(item.subject, item.session) for item in report.found]


def image(root: Path, place: str, **values: object) -> Path:
    return write_dicom(root / place / "IM_1", **values)


def test_the_folders_may_come_in_either_order(root: Path, scan: Scan) -> None:
    image(root, "sub-01/ses-pre")
    assert labels(scan()) == [("01", "pre")]
    image(root, "ses-pre2/sub-01b")
    assert ("01b", "pre2") in labels(scan(layout="session/subject"))


def test_prefixes_are_optional_and_zeros_are_kept(root: Path, scan: Scan) -> None:
    for place in ("007/20240101", "sub-A1/ses-02"):
        image(root, place)
    assert labels(scan()) == [("007", "20240101"), ("A1", "02")]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("level", ["subject", "session"])
def test_names_that_do_not_match_are_reported_and_the_others_are_found(
    root: Path, scan: Scan, name: str, level: str
) -> None:
    image(root, "sub-ok/ses-1")
    image(root, f"{name}/ses-1" if level == "subject" else f"sub-ok/{name}")
    report = scan()
    assert labels(report) == [("ok", "1")]
    (problem,) = report.problems
    assert repr(name) in problem
    assert f"discovery.{level}_pattern '(?:s" in problem
    assert "\n" not in problem


def test_one_bad_subject_folder_is_one_problem(root: Path, scan: Scan) -> None:
    for session in ("ses-1", "ses-2", "ses-3"):
        image(root, f"bad name/{session}")
    assert len(scan().problems) == 1


def test_a_pattern_that_finds_no_label_is_reported(root: Path, scan: Scan) -> None:
    image(root, "P_01/1")
    report = scan(subject_pattern=r"(?P<label>P_\d+)")
    assert report.found == ()
    assert "'P_01'" in report.problems[0]
    assert "letters A-Z, a-z and digits only" in report.problems[0]
    assert labels(scan(subject_pattern=r"P_(?P<label>\d+)")) == [("01", "1")]
    assert scan(subject_pattern=r"P_01(?P<label>x)?").found == ()


def test_two_folders_with_the_same_labels_are_a_problem_and_the_first_is_kept(root: Path, scan: Scan) -> None:
    image(root, "01/ses-1")
    image(root, "sub-01/ses-1")
    report = scan()
    assert [item.path for item in report.found] == [str(root / "01" / "ses-1")]
    (problem,) = report.problems
    assert "'sub-01/ses-1'" in problem
    assert "'01/ses-1'" in problem


def test_a_folder_that_arrives_later_does_not_take_the_place_of_a_known_one(root: Path, scan: Scan) -> None:
    image(root, "sub-01/ses-1")
    known = known_from(scan().found)
    image(root, "01/ses-1")
    assert [item.path for item in scan(known).found] == [str(root / "sub-01" / "ses-1")]


@pytest.mark.parametrize(("first", "second"), [("sub-A/ses-1", "sub-a/ses-2"), ("sub-1/ses-PRE", "sub-1/ses-pre")])
def test_labels_that_differ_only_in_case_are_a_problem(root: Path, scan: Scan, first: str, second: str) -> None:
    image(root, first)
    image(root, second)
    report = scan()
    assert [item.path for item in report.found] == [str(root / first)]
    assert repr(second) in report.problems[0]


def test_claims_are_free_again_for_nobody() -> None:
    claims = Claims()
    assert claims.take(Labels("a", "1"), "first") is None
    assert claims.take(Labels("a", "2"), "second") is None
    assert "'first'" in (claims.take(Labels("a", "1"), "third") or "")


# --- from headers ------------------------------------------------------------------------------


def test_labels_from_headers_are_cleaned(root: Path, scan: Scan) -> None:
    image(root, "2024 05/scan#1", PatientID="P_01-ä", StudyDate="20240517")
    assert labels(scan(labels="dicom")) == [("P01", "20240517")]


def test_different_patients_whose_ids_clean_to_one_label_do_not_become_one_subject(root: Path, scan: Scan) -> None:
    image(root, "a/1", PatientID="1-12", StudyDate="20240101")
    image(root, "b/1", PatientID="11-2", StudyDate="20240202")
    report = scan(labels="dicom")
    assert labels(report) == [("112", "20240101")]
    assert "may be two people" in report.problems[0]
    # The same holds when the first one is unchanged, and its headers are not read again.
    again = scan(known_from(report.found), labels="dicom")
    assert again == report


def test_a_later_session_of_a_known_patient_joins_its_subject(root: Path, scan: Scan) -> None:
    image(root, "a/1", PatientID="P-1", StudyDate="20240101")
    known = known_from(scan(labels="dicom").found)
    image(root, "a/2", PatientID="P-1", StudyDate="20240301")
    assert labels(scan(known, labels="dicom")) == [("P1", "20240101"), ("P1", "20240301")]


@pytest.mark.parametrize("value", [None, "", "--"])
def test_a_header_without_a_label_is_a_problem(root: Path, scan: Scan, value: str | None) -> None:
    image(root, "a/1", PatientID=value)
    report = scan(labels="dicom")
    assert report.found == ()
    assert "'a/1' has no label" in report.problems[0]
    assert "PatientID" in report.problems[0]


def test_a_folder_with_images_of_two_sessions_has_no_label(root: Path, scan: Scan) -> None:
    write_dicom(root / "a/1/IM_1", StudyDate="20240101")
    write_dicom(root / "a/1/IM_2", StudyDate="20240102")
    report = scan(labels="dicom")
    assert report.found == ()
    assert "2 different values of StudyDate" in report.problems[0]


def test_a_keyword_that_does_not_exist_is_an_error(root: Path, scan: Scan) -> None:
    with pytest.raises(DiscoveryError, match="'Patient' is no DICOM keyword"):
        scan(labels="dicom", dicom_subject_field="Patient")


# --- from a CSV --------------------------------------------------------------------------------


@pytest.fixture
def csv_file(tmp_path: Path) -> Path:
    return tmp_path / "labels.csv"


def test_a_csv_names_scans_by_folder_or_by_place(root: Path, scan: Scan, csv_file: Path) -> None:
    for place in ("x y/scan#7", "anna/ses-2"):
        image(root, place)
    csv_file.write_text("\ufeffscan_id,subject,session,note\nscan#7,01,pre,\nanna/ses-2,sub-02,,x\n", encoding="utf-8")
    report = scan(labels="csv", csv_file=csv_file)
    assert labels(report) == [("02", "2"), ("01", "pre")]
    assert report.problems == ()


def test_a_csv_in_the_root_is_no_stray_file(root: Path, scan: Scan) -> None:
    image(root, "a/b")
    (root / "labels.csv").write_text("scan_id,subject\na/b,1\n")
    assert scan(labels="csv", csv_file=root / "labels.csv").problems == ()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("other,1,1", "add a row with scan_id 'a/b' or 'b'"),
        ("b,P_1,1", "line 2 gives subject 'P_1'"),
        ("b,1,pre-op", "line 2 gives session 'pre-op'"),
        ("b,,1", "line 2 gives subject ''"),
        ("b,1,1\nb,2,1", "different rows for scan_id 'b'"),
    ],
)
def test_rows_that_give_no_labels_are_problems(root: Path, scan: Scan, csv_file: Path, rows: str, words: str) -> None:
    image(root, "a/b")
    csv_file.write_text(f"scan_id,subject,session\n{rows}\n")
    report = scan(labels="csv", csv_file=csv_file)
    assert report.found == ()
    assert words in report.problems[0]
    assert "'a/b'" in report.problems[0]


def test_a_csv_that_is_missing_or_lacks_a_column_is_an_error(root: Path, scan: Scan, csv_file: Path) -> None:
    with pytest.raises(DiscoveryError, match="can't be read"):
        scan(labels="csv", csv_file=csv_file)
    csv_file.write_text("scan;subject\n")
    with pytest.raises(DiscoveryError, match="lacks the column scan_id, subject"):
        scan(labels="csv", csv_file=csv_file)


def test_a_name_that_is_no_utf_8_is_a_problem_that_can_be_printed(root: Path, scan: Scan, csv_file: Path) -> None:
    image(root, os.fsdecode(b"a/b\xff"), PatientID="1")
    (problem,) = scan(labels="dicom").problems
    assert problem.encode()
    assert "UTF-8" in problem
