"""Read a tool's version from its image name, and know in which versions its command line differs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from neuroflow.errors import AdapterError

# `qsiprep-26.1.1.sif`, `pennlinc_qsiprep_v1.0.1-2.sif`, `docker://pennlinc/qsiprep:1.0.1`, `...:1.0.1@sha256:...`
_RELEASE = re.compile(r"(?<![0-9.])v?(\d{1,4}\.\d{1,3}(?:\.\d{1,3})?)((?:rc|a|b|\.?dev|\.?post)\d+)?(?![0-9.]*[0-9])")
NEED_VERSION = ("qsiprep", "qsirecon")  # whose options differ between the versions below
_TOOL_NAMES = {"bids_conversion": "heudiconv"}

Release = tuple[int, int, int]


def tool_version(pipeline: str, *, image: str | None, version: str | None) -> str | None:
    """Return the version of the tool in an image: as configured, or as the image's name tells, or None."""
    if version is not None:
        return version.strip().removeprefix("v")
    if image is None:
        return None
    name = PurePosixPath(image.partition("@")[0]).name
    tool = _TOOL_NAMES.get(pipeline, pipeline)
    # What stands before the tool's name is a site's own: `2024.11-qsiprep-1.0.1.sif`.
    _, found, rest = name.lower().partition(tool)
    match = _RELEASE.search(rest if found else name)
    return match.group(1) + (match.group(2) or "") if match else None


def release(pipeline: str, version: str | None, *, oldest: Release) -> Release:
    """Return a version as three numbers, once it is known and new enough.

    Raises:
        AdapterError: when it is unknown, unreadable or older than `oldest`.
    """
    hint = f"set pipelines.{pipeline}.version to the tool's version, such as '26.1.1'"
    if version is None:
        raise AdapterError(
            f"the version of {pipeline} is not known, and its options differ between versions; "
            "the image's name does not tell it",
            hint=hint,
        )
    match = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?(?![0-9])", version.strip())
    if match is None:
        raise AdapterError(f"'{version}' is no version of {pipeline}", hint=hint)
    numbers = (int(match.group(1)), int(match.group(2)), int(match.group(3) or 0))
    if numbers < oldest:
        raise AdapterError(
            f"{pipeline} {version} is too old: {'.'.join(map(str, oldest))} is the first version that neuroflow knows",
            hint="use a newer image",
        )
    return numbers


@dataclass(frozen=True)
class QSIPrepOptions:
    """How one range of QSIPrep's versions spells its options (read in qsiprep/cli/parser.py of each)."""

    since: Release
    session: str
    first_session_reference: str  # the value of --subject-anatomical-reference that we call `first-lex`
    license_file: bool  # whether --fs-license-file exists


QSIPREP_OLDEST: Release = (1, 0, 0)  # 0.23 can't select sessions
_QSIPREP = (
    QSIPrepOptions((26, 1, 0), session="--session-label", first_session_reference="first-lex", license_file=False),
    QSIPrepOptions((1, 1, 0), session="--session-id", first_session_reference="first-lex", license_file=True),
    QSIPrepOptions(
        (1, 0, 0), session="--session-id", first_session_reference="first-alphabetically", license_file=True
    ),
)


def qsiprep_options(version: str | None) -> QSIPrepOptions:
    """Return the spelling of QSIPrep's options in a version.

    Raises:
        AdapterError: when the version is unknown or too old.
    """
    numbers = release("qsiprep", version, oldest=QSIPREP_OLDEST)
    return next(options for options in _QSIPREP if numbers >= options.since)


@dataclass(frozen=True)
class QSIReconOptions:
    """How one range of QSIRecon's versions spells its options, and where its image keeps things."""

    since: Release
    session: str
    image_home: str


QSIRECON_OLDEST: Release = (1, 0, 0)  # 0.23 can't select sessions or name atlases
# All releases up to 26.0.0 share one spelling; QSIRecon did not follow QSIPrep's --session-label.
_QSIRECON = (QSIReconOptions((1, 0, 0), session="--session-id", image_home="/home/qsirecon"),)


def qsirecon_options(version: str | None) -> QSIReconOptions:
    """Return the spelling of QSIRecon's options in a version.

    Raises:
        AdapterError: when the version is unknown or too old.
    """
    numbers = release("qsirecon", version, oldest=QSIRECON_OLDEST)
    return next(options for options in _QSIRECON if numbers >= options.since)
