"""The scheduler's view of the database, and what it and the retry policy decide."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from neuroflow.domain.containers import Resources
from neuroflow.domain.records import RunRecord, SessionRecord
from neuroflow.domain.words import Level, RunStatus


@dataclass(frozen=True)
class Snapshot:
    """The database as the scheduler sees it, at one moment."""

    now: datetime
    sessions: tuple[SessionRecord, ...]
    runs: tuple[RunRecord, ...]  # per pipeline and scope: every open one, and the newest ended one


@dataclass(frozen=True)
class Line:
    """Where a run stands among its pipeline's runs that want to start."""

    in_flight: int
    queued: int  # handed to the workers, not taken up yet
    before: int  # due, and older


@dataclass(frozen=True)
class RunProposal:
    """A run that should exist."""

    pipeline: str
    level: Level
    scope: str
    subject_id: int
    session_id: int | None
    inputs_key: str
    reason: str


@dataclass(frozen=True)
class RetryDecision:
    """What happens to a run after a failed attempt, in the words of the audit log."""

    status: RunStatus  # retry_wait, failed or cancelled
    reason: str
    counted: bool
    next_attempt_at: datetime | None = None
    resources: Resources | None = None
    exclude_nodes: tuple[str, ...] = ()
