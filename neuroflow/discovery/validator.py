"""Compare a session's series with the scans that the protocol requires."""

from __future__ import annotations

import re
from collections.abc import Sequence

from neuroflow.config.sections import Protocol, RequiredScan
from neuroflow.domain import Series
from neuroflow.wording import counted

NO_IMAGE = "any image: no DICOM image could be read"
MAX_SERIES_NAMED = 5


class SessionValidator:
    """Say in words which required scans a session lacks."""

    def __init__(self, protocol: Protocol) -> None:
        self._scans = tuple((scan, re.compile(scan.pattern, re.IGNORECASE)) for scan in protocol.required_scans)

    def missing(self, series: Sequence[Series]) -> tuple[str, ...]:
        """Return one line per required scan that no single series of images satisfies."""
        images = [item for item in series if item.is_image and item.images > 0]
        if not images:
            return (NO_IMAGE,)
        lines = []
        for scan, pattern in self._scans:
            matching = [item for item in images if pattern.search(item.description) or pattern.search(item.protocol)]
            if not any(_has_enough(item, scan) for item in matching):
                lines.append(_words(scan, matching))
        return tuple(lines)


def _has_enough(series: Series, scan: RequiredScan) -> bool:
    return scan.min_files <= series.images and (scan.max_files is None or series.images <= scan.max_files)


def _words(scan: RequiredScan, matching: Sequence[Series]) -> str:
    needs = f"{scan.name}: needs {_range(scan)} in a series matching '{scan.pattern}'"
    if not matching:
        return f"{needs}; found no such series"
    found = [f"'{item.description or item.protocol}' with {item.images}" for item in matching[:MAX_SERIES_NAMED]]
    if len(matching) > MAX_SERIES_NAMED:
        found.append(f"{len(matching) - MAX_SERIES_NAMED} more")
    return f"{needs}; found {', '.join(found)}"


def _range(scan: RequiredScan) -> str:
    if scan.max_files is None:
        return f"at least {counted(scan.min_files, 'image')}"
    if scan.max_files == scan.min_files:
        return f"exactly {counted(scan.min_files, 'image')}"
    return f"{scan.min_files}-{scan.max_files} images"
