"""What the tests hand to the scanner: a memory of earlier scans, and a reader that counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from neuroflow.discovery.dicom import Header, Refusal, read_header
from neuroflow.discovery.scanner import ScanReport
from neuroflow.domain import FoundSession, KnownSession

Scan = Callable[..., ScanReport]


def known_from(found: tuple[FoundSession, ...]) -> dict[str, KnownSession]:
    """Remember sessions as the database does."""
    return {
        item.path: KnownSession(
            path=item.path,
            subject=item.subject,
            session=item.session,
            fingerprint=item.fingerprint,
            series=item.series,
            problems=item.problems,
            files=item.files,
            bytes=item.bytes,
            newest_mtime=item.newest_mtime,
        )
        for item in found
    }


class CountingReader:
    """Reads headers, and remembers of which files."""

    def __init__(self) -> None:
        self.paths: list[Path] = []

    def __call__(self, path: Path, keywords: tuple[str, ...]) -> Header | Refusal:
        self.paths.append(path)
        return read_header(path, keywords)
