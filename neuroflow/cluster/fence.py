"""Forbid attempts to work from now on, whatever becomes of their jobs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from neuroflow.cluster import claim
from neuroflow.domain import AttemptRecord
from neuroflow.errors import ClusterError


def fence(attempts: Iterable[AttemptRecord]) -> None:
    """Fence attempts that are given up.

    Raises:
        ClusterError: when a fence can't be written: that attempt must not be given up yet.
    """
    for attempt in attempts:
        try:
            claim.fence(Path(attempt.folder))
        except OSError as error:
            raise ClusterError(
                f"the attempt {attempt.token} can't be fenced: {error}",
                hint="see whether paths.state_dir is there, writable, and not full",
            ) from error
