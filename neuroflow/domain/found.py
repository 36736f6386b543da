"""What discovery finds on disk."""

from __future__ import annotations

from dataclasses import dataclass

# How a conversion that finds no folder says so.
FOLDER_GONE = "the session's folder is not there"


def folder_gone(line: str) -> str:
    """Return what a conversion that finds no folder says of that, empty for any other line of a log."""
    text = line.removeprefix("error: ")
    return text if text.startswith(FOLDER_GONE) else ""


@dataclass(frozen=True)
class Series:
    """One DICOM series, as its sampled headers tell."""

    uid: str
    number: int | None
    description: str
    protocol: str
    modality: str
    files: int
    images: int  # files, or frames where an enhanced multi-frame file holds many
    is_image: bool  # an image-storage SOP class: the others never reach HeudiConv
    study_uid: str = ""
    study_date: str = ""


@dataclass(frozen=True)
class FoundSession:
    """A session folder on disk, as one scan saw it."""

    subject: str
    session: str
    path: str
    fingerprint: str
    files: int
    bytes: int
    newest_mtime: float  # seconds since the epoch
    series: tuple[Series, ...] = ()
    problems: tuple[str, ...] = ()  # files that could not be read, named
    missing: tuple[str, ...] = ()  # required scans that are not there, in words


@dataclass(frozen=True)
class KnownSession:
    """What the database remembers of a session folder, so that an unchanged one is not read again."""

    path: str
    subject: str
    session: str
    fingerprint: str
    series: tuple[Series, ...]
    problems: tuple[str, ...]
    files: int
    bytes: int
    newest_mtime: float


@dataclass(frozen=True)
class LostFolder:
    """A known session whose folder is not there any more."""

    scope: str
    folder: str


@dataclass(frozen=True)
class ScanOutcome:
    """What one scan changed in the database."""

    found: int
    new: int
    changed: int
    settling: int
    ready: int
    invalid: int
    not_found: int = 0  # known sessions whose folder is gone: no fault, after a conversion folders are archived
    lost_folders: tuple[LostFolder, ...] = ()  # the first of those
