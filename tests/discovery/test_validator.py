"""The protocol: which series satisfy a required scan, and what is said when none does."""

from __future__ import annotations

import pytest

from neuroflow.config.sections import Protocol, RequiredScan
from neuroflow.discovery.validator import SessionValidator
from neuroflow.domain import Series


def series(description: str, images: int, *, protocol: str = "", is_image: bool = True) -> Series:
    return Series(
        uid=f"1.{description}.{images}",
        number=1,
        description=description,
        protocol=protocol,
        modality="MR",
        files=1,
        images=images,
        is_image=is_image,
    )


def missing(*found: Series, **scan: object) -> tuple[str, ...]:
    required = (RequiredScan(**{"name": "dwi", "pattern": "dwi|dti", **scan}),)
    return SessionValidator(Protocol(required_scans=required)).missing(found)


def test_description_and_protocol_are_searched_whatever_their_case() -> None:
    assert missing(series("Ax_DTI_b1000", 60)) == ()
    assert missing(series("Ax", 60, protocol="MyDwi")) == ()


@pytest.mark.parametrize(("images", "is_enough"), [(59, False), (60, True), (70, True), (71, False)])
def test_both_limits_belong_to_the_range(images: int, is_enough: bool) -> None:
    assert (missing(series("dti", images), min_files=60, max_files=70) == ()) is is_enough


def test_the_words_say_what_is_needed_and_what_was_seen() -> None:
    assert missing(series("DTI_Biobank", 544), min_files=60, max_files=70) == (
        "dwi: needs 60-70 images in a series matching 'dwi|dti'; found 'DTI_Biobank' with 544",
    )
    assert missing(series("T1w", 176), min_files=2) == (
        "dwi: needs at least 2 images in a series matching 'dwi|dti'; found no such series",
    )
    assert missing(series("dti", 3), series("dwi", 4), min_files=1, max_files=1) == (
        "dwi: needs exactly 1 image in a series matching 'dwi|dti'; found 'dti' with 3, 'dwi' with 4",
    )


def test_two_halves_are_no_whole() -> None:
    assert missing(series("dti", 30), series("dti", 31), min_files=60) != ()


def test_one_good_series_among_others_is_enough() -> None:
    assert missing(series("dti", 3), series("dti_2", 60), min_files=60) == ()


def test_series_that_hold_no_images_do_not_count() -> None:
    assert missing(series("t1", 5), series("dti", 60, is_image=False)) != ()


@pytest.mark.parametrize("found", [(), (series("dti", 4, is_image=False),), (series("dti", 0),)])
def test_a_session_without_an_image_lacks_any_image(found: tuple[Series, ...]) -> None:
    (line,) = SessionValidator(Protocol()).missing(found)
    assert line.startswith("any image")


def test_without_required_scans_one_image_is_enough() -> None:
    assert SessionValidator(Protocol()).missing([series("localizer", 1)]) == ()
