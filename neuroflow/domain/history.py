"""What a report over everything that ever happened needs of sessions, runs and attempts, and no more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from neuroflow.domain.containers import Resources
from neuroflow.domain.words import AttemptStatus, FailureClass, RunStatus, SessionStatus


@dataclass(frozen=True, slots=True)
class SessionFact:
    """A session and where it stands."""

    id: int
    subject_id: int
    subject: str
    label: str
    status: SessionStatus
    reason: str


@dataclass(frozen=True, slots=True)
class RunFact:
    """A run and what became of it; long texts are cut."""

    id: int
    pipeline: str
    subject_id: int
    session_id: int | None
    status: RunStatus
    superseded: bool
    resolution: str
    attempts: int  # that count towards max_attempts
    failure: FailureClass | None
    signature: str
    reason: str
    error: str
    output_path: str | None
    updated_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def was_withdrawn(self) -> bool:
        """Tell whether it was taken back before it started, as RunRecord does."""
        return self.status is RunStatus.CANCELLED and self.superseded


@dataclass(frozen=True, slots=True)
class AttemptFact:
    """An attempt, what it asked for and what it used; long texts are cut."""

    id: int
    run_id: int
    number: int
    status: AttemptStatus
    where: str
    folder: str
    job_id: str | None
    host: str
    failure: FailureClass | None
    signature: str
    message: str
    exit_code: int | None
    max_rss_mb: float | None
    resources: Resources
    submitted_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    image_record_id: int | None
    image_version: str


@dataclass(frozen=True)
class History:
    """Every session, run and attempt, in the order of their ids."""

    sessions: tuple[SessionFact, ...]
    runs: tuple[RunFact, ...]
    attempts: tuple[AttemptFact, ...]
