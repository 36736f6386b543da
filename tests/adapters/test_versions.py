"""Versions come from the configuration or the image's name, and decide how options are spelled."""

from __future__ import annotations

import pytest

from neuroflow.adapters import get_adapter
from neuroflow.adapters.versions import tool_version
from neuroflow.errors import AdapterError
from tests.adapters.requests import after, make_request


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("/images/qsiprep-26.1.1.sif", "26.1.1"),
        ("/images/qsiprep_1.0.1.sif", "1.0.1"),
        ("/images/pennlinc_qsiprep_v1.0.1-2024-11-02.sif", "1.0.1"),
        ("/images/2024.11/2024.11-qsiprep-26.0.0.simg", "26.0.0"),
        ("docker://pennlinc/qsiprep:1.0.1", "1.0.1"),
        ("pennlinc/qsiprep:26.1.1rc1", "26.1.1rc1"),
        ("registry.lab:5000/pennlinc/qsiprep:1.1.1@sha256:12.34", "1.1.1"),
        ("registry.lab:5000/pennlinc/qsiprep", None),
        ("/images/qsiprep.sif", None),
        ("/images/qsiprep-latest.sif", None),
        ("/images/qsiprep-20241102.sif", None),
        ("/qsiprep-26.1.1/current.sif", None),
    ],
)
def test_the_version_is_read_from_the_images_name(image: str, version: str | None) -> None:
    assert tool_version("qsiprep", image=image, version=None) == version


def test_the_configured_version_wins() -> None:
    assert tool_version("qsiprep", image="/images/qsiprep-1.0.1.sif", version="v26.1.1") == "26.1.1"


def test_heudiconvs_images_carry_the_tools_name() -> None:
    assert tool_version("bids_conversion", image="/images/heudiconv-1.5.1.sif", version=None) == "1.5.1"


@pytest.mark.parametrize("pipeline", ["qsiprep", "qsirecon"])
@pytest.mark.parametrize(
    ("version", "reason"), [(None, "not known"), ("latest", "is no version"), ("0.23.1", "too old")]
)
def test_without_a_usable_version_there_is_no_command(pipeline: str, version: str | None, reason: str) -> None:
    with pytest.raises(AdapterError, match=reason) as caught:
        get_adapter(pipeline).build(make_request(pipeline, version=version))

    assert f"pipelines.{pipeline}.version" in caught.value.hint or reason == "too old"


@pytest.mark.parametrize(
    ("version", "session", "license_file", "reference"),
    [
        ("1.0.0", "--session-id", True, "first-alphabetically"),
        ("1.0.2", "--session-id", True, "first-alphabetically"),
        ("1.1.0", "--session-id", True, "first-lex"),
        ("26.0.0", "--session-id", True, "first-lex"),
        ("26.1.0", "--session-label", False, "first-lex"),
        ("26.1.1", "--session-label", False, "first-lex"),
        ("27.0.0", "--session-label", False, "first-lex"),
    ],
)
def test_qsipreps_options_follow_its_version(version: str, session: str, license_file: bool, reference: str) -> None:
    arguments = get_adapter("qsiprep").build(make_request("qsiprep", version=version)).arguments

    start = arguments.index(session)
    assert arguments[start : start + 3] == (session, "01", "02")
    assert ("--fs-license-file" in arguments) is license_file
    assert after(arguments, "--subject-anatomical-reference") == reference


def test_a_chosen_anatomical_reference_is_passed_on_as_it_is() -> None:
    request = make_request("qsiprep", version="1.0.1", settings={"subject_anatomical_reference": "sessionwise"})

    assert after(get_adapter("qsiprep").build(request).arguments, "--subject-anatomical-reference") == "sessionwise"
