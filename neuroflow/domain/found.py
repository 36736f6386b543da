"""What discovery finds on disk."""

from __future__ import annotations

from dataclasses import dataclass


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
class ScanOutcome:
    """What one scan changed in the database."""

    found: int
    new: int
    changed: int
    settling: int
    ready: int
    invalid: int
