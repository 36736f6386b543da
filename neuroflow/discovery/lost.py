"""Known sessions whose folder is not there any more, as when DICOM folders are archived after their conversion."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from neuroflow.domain import FoundSession, KnownSession, LostFolder


def lost_folders(known: Iterable[KnownSession], found: Sequence[FoundSession]) -> tuple[LostFolder, ...]:
    """Return the known sessions that a scan did not find, and whose folder is gone; none where it found nothing."""
    if not found:
        return ()  # a file system that is not mounted looks like this
    paths = {session.path for session in found}
    labels = {(session.subject, session.session) for session in found}
    return tuple(
        LostFolder(f"sub-{one.subject}/ses-{one.session}", one.path)
        for one in sorted(known, key=lambda one: (one.subject, one.session))
        if one.path not in paths and (one.subject, one.session) not in labels and is_gone(Path(one.path))
    )


def is_gone(folder: Path) -> bool:
    """Tell whether a folder is not there, which is sure; one that can't be looked at may be there."""
    try:
        os.lstat(folder)
    except (FileNotFoundError, NotADirectoryError):
        # A link to nothing in its place above may be a file system that is away: the scan names that by itself.
        return not (folder.parent.is_symlink() and not folder.parent.exists())
    except (OSError, ValueError):
        return False
    return False
