"""Forbid attempts to work from now on, whatever becomes of their jobs."""

from __future__ import annotations

from collections.abc import Sequence

from neuroflow.cluster.folders import Folders
from neuroflow.domain import AttemptRecord
from neuroflow.errors import ClusterError


def fence(attempts: Sequence[AttemptRecord], *, folders: Folders) -> None:
    """Fence attempts that are given up.

    Raises:
        ClusterError: when a fence can't be written: none of the attempts may be given up yet.
    """
    try:
        folders.fence([attempt.folder for attempt in attempts])
    except OSError as error:
        raise ClusterError(
            f"an attempt can't be fenced: {error}",
            hint="see whether paths.state_dir is there, writable, and not full",
        ) from error
