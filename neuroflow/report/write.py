"""Write the page where it was asked for: whole or not at all, and over no file of another kind."""

from __future__ import annotations

import os
from pathlib import Path

from neuroflow.cluster.files import Access, rewrite
from neuroflow.errors import UsageError
from neuroflow.report.document import MARK

_HEAD_BYTES = 1024


def check_target(path: Path, *, replace: bool) -> None:
    """Refuse a place where the page can't be, or where something else is.

    Args:
        replace: whether a file that is no report may be replaced.

    Raises:
        UsageError: naming the path and what to do.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder", hint="name a file, such as --output neuroflow-report.html")
    if not path.parent.is_dir():
        raise UsageError(f"the folder {path.parent} is not there", hint="make it, or name another with --output")
    if os.path.lexists(path) and not replace and not _is_report(path):
        raise UsageError(
            f"{path} is there, and is no report of neuroflow", hint="name another, or replace it with --force"
        )


def write_page(path: Path, text: str) -> int:
    """Put the page in place, and return its size in bytes.

    Raises:
        UsageError: when the system does not let one write.
    """
    data = text.encode()
    try:
        rewrite(path, data, access=Access.AS_UMASK)  # a report is for others as well
    except OSError as error:
        raise UsageError(
            f"{path} can't be written: {error.strerror}", hint="name another place with --output"
        ) from error
    return len(data)


def _is_report(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return MARK.encode() in stream.read(_HEAD_BYTES)
    except OSError:
        return False
