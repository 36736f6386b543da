"""The tables of what is executed: runs, their attempts, and the callbacks that were made for them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Double, ForeignKey, Index, UniqueConstraint, text, true
from sqlalchemy.orm import Mapped, mapped_column

from neuroflow.domain import AttemptStatus, FailureClass, Level, Resources, RunStatus
from neuroflow.models.base import Base
from neuroflow.models.types import CleanText, JsonObject, ResourcesObject, UtcDateTime, Word, Words

RUN_IS_OPEN = "status NOT IN ('cancelled', 'completed', 'failed')"
RUN_IS_NEWEST = "is_newest"
ATTEMPT_IS_OPEN = "status NOT IN ('cancelled', 'failed', 'succeeded')"


class RunRow(Base):
    """One pipeline for one subject or session over one set of inputs."""

    __tablename__ = "pipeline_runs"
    __table_args__ = (
        # The guard against a run that is started twice: whatever the code does, one open run per scope.
        Index(
            "uq_pipeline_runs_open",
            "pipeline",
            "scope",
            unique=True,
            sqlite_where=text(RUN_IS_OPEN),
            postgresql_where=text(RUN_IS_OPEN),
        ),
        Index(None, "pipeline", "scope", "id"),  # the newest of a scope
        Index(None, "pipeline", "status", "ended_at"),  # those in flight, and how many ended when
        # All that counting how every scope stands reads: a look at 400,000 runs must not read their rows.
        Index(
            "ix_pipeline_runs_newest",
            "pipeline",
            "status",
            "superseded",
            "is_newest",  # SQLite reads the row for a column of the condition otherwise
            sqlite_where=text(RUN_IS_NEWEST),
            postgresql_where=text(RUN_IS_NEWEST),
        ),
        Index(None, "status"),
        Index(None, "subject_id"),
        Index(None, "session_id"),
        Index(None, "workflow_run_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    pipeline: Mapped[str] = mapped_column(CleanText)
    level: Mapped[Level] = mapped_column(Word(Level))
    scope: Mapped[str] = mapped_column(CleanText)
    subject_id: Mapped[int] = mapped_column(ForeignKey("subjects.id"))
    session_id: Mapped[int | None] = mapped_column(ForeignKey("sessions.id"))
    inputs_key: Mapped[str] = mapped_column(CleanText)
    status: Mapped[RunStatus] = mapped_column(Word(RunStatus))
    reason: Mapped[str] = mapped_column(CleanText)
    superseded: Mapped[bool] = mapped_column()
    # No later run of its pipeline and scope is there; `core.runs.mark_newest` keeps it so.
    is_newest: Mapped[bool] = mapped_column(default=True, server_default=true())
    attempts: Mapped[int] = mapped_column()
    failure: Mapped[FailureClass | None] = mapped_column(Word(FailureClass))
    error_message: Mapped[str] = mapped_column(CleanText)
    output_path: Mapped[str | None] = mapped_column(CleanText)
    next_attempt_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    resources: Mapped[Resources | None] = mapped_column(ResourcesObject)
    exclude_nodes: Mapped[tuple[str, ...]] = mapped_column(Words)
    metrics: Mapped[Mapping[str, Any]] = mapped_column(JsonObject)
    workflow_run_id: Mapped[int | None] = mapped_column(ForeignKey("workflow_runs.id"))
    signature: Mapped[str] = mapped_column(CleanText, default="", server_default="")
    resolution: Mapped[str] = mapped_column(CleanText, default="", server_default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    priority: Mapped[int] = mapped_column(default=0, server_default="0")


class AttemptRow(Base):
    """One execution of a run, written before anything is submitted."""

    __tablename__ = "attempts"
    __table_args__ = (
        UniqueConstraint("token"),
        UniqueConstraint("run_id", "number"),
        Index(
            "uq_attempts_open",
            "run_id",
            unique=True,
            sqlite_where=text(ATTEMPT_IS_OPEN),
            postgresql_where=text(ATTEMPT_IS_OPEN),
        ),
        Index(None, "failure", "ended_at"),  # the recent failures of a kind
        Index(None, "ended_at"),  # the last to end
        Index(None, "image_record_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("pipeline_runs.id"))
    number: Mapped[int] = mapped_column()
    token: Mapped[str] = mapped_column(CleanText)
    status: Mapped[AttemptStatus] = mapped_column(Word(AttemptStatus))
    where: Mapped[str] = mapped_column(CleanText)
    folder: Mapped[str] = mapped_column(CleanText)
    job_id: Mapped[str | None] = mapped_column(CleanText)
    job_word: Mapped[str] = mapped_column(CleanText)
    job_reason: Mapped[str] = mapped_column(CleanText)
    resources: Mapped[Resources] = mapped_column(ResourcesObject)
    counted: Mapped[bool] = mapped_column()
    failure: Mapped[FailureClass | None] = mapped_column(Word(FailureClass))
    message: Mapped[str] = mapped_column(CleanText)
    exit_code: Mapped[int | None] = mapped_column()
    signal: Mapped[int | None] = mapped_column()
    host: Mapped[str] = mapped_column(CleanText)
    max_rss_mb: Mapped[float | None] = mapped_column(Double)
    image: Mapped[str | None] = mapped_column(CleanText)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    submitted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_seen_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    array_token: Mapped[str | None] = mapped_column(CleanText)
    array_index: Mapped[int | None] = mapped_column()
    signature: Mapped[str] = mapped_column(CleanText, default="", server_default="")
    image_record_id: Mapped[int | None] = mapped_column(ForeignKey("images.id"))
    image_version: Mapped[str] = mapped_column(CleanText, default="", server_default="")
    node_image: Mapped[str] = mapped_column(CleanText, default="", server_default="")
    cpu_seconds: Mapped[float | None] = mapped_column(Double)
    elapsed_seconds: Mapped[float | None] = mapped_column(Double)


class CallbackRow(Base):
    """A callback that was made for a run, so that none is made twice."""

    __tablename__ = "callbacks"

    run_id: Mapped[int] = mapped_column(ForeignKey("pipeline_runs.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(CleanText, primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
