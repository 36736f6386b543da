"""What attempts used of what they had asked for."""

from __future__ import annotations

from dataclasses import dataclass

from neuroflow.domain.containers import Resources
from neuroflow.domain.words import FailureClass


@dataclass(frozen=True, slots=True)
class UsedAttempt:
    """One attempt that tells how much its run needs: it succeeded, or was stopped for want of memory or time."""

    run_id: int
    failure: FailureClass | None  # None: it succeeded
    request: Resources
    max_rss_mb: float | None
    cpu_seconds: float | None
    elapsed_seconds: float | None
    version: str  # of the tool
    inputs_key: str  # of its run
    day: str  # on which it ended, as YYYY-MM-DD
