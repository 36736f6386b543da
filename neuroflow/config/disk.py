"""Look at the disk without raising: an unreadable folder above, or a name that is too long, means `not there`."""

# pathlib's own versions raise PermissionError and ENAMETOOLONG.
# ruff: noqa: PTH110, PTH112, PTH113

from __future__ import annotations

import os
from pathlib import Path


def exists(path: Path) -> bool:
    """Tell whether something is there."""
    return os.path.exists(path)


def is_file(path: Path) -> bool:
    """Tell whether a regular file is there."""
    return os.path.isfile(path)


def is_folder(path: Path) -> bool:
    """Tell whether a folder is there."""
    return os.path.isdir(path)
