"""The tables beside the runs: workflow runs, the audit log, values of the services, leases."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Double, Index
from sqlalchemy.orm import Mapped, mapped_column

from neuroflow.domain import WorkflowStatus
from neuroflow.models.base import Base
from neuroflow.models.types import CleanText, JsonObject, UtcDateTime, Word, Words


class WorkflowRunRow(Base):
    """One pass of the master workflow."""

    __tablename__ = "workflow_runs"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[WorkflowStatus] = mapped_column(Word(WorkflowStatus))
    stages_completed: Mapped[tuple[str, ...]] = mapped_column(Words)
    tasks_queued: Mapped[int] = mapped_column()
    error: Mapped[str | None] = mapped_column(CleanText)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class AuditRow(Base):
    """Who changed what, from where to where, and why; rows are only ever added."""

    __tablename__ = "audit_log"
    __table_args__ = (Index(None, "entity", "entity_id", "id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    actor: Mapped[str] = mapped_column(CleanText)
    event: Mapped[str] = mapped_column(CleanText)
    entity: Mapped[str] = mapped_column(CleanText)
    entity_id: Mapped[int | None] = mapped_column()
    before: Mapped[str | None] = mapped_column(CleanText)
    after: Mapped[str | None] = mapped_column(CleanText)
    reason: Mapped[str] = mapped_column(CleanText)
    details: Mapped[Mapping[str, Any]] = mapped_column(JsonObject)


class ServiceValueRow(Base):
    """A small value that a service leaves for others: a heartbeat, the last poll, a hold."""

    __tablename__ = "service_values"

    key: Mapped[str] = mapped_column(CleanText, primary_key=True)
    value: Mapped[Mapping[str, Any]] = mapped_column(JsonObject)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class LeaseRow(Base):
    """Who may do a thing that only one process should do, and until when."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(CleanText, primary_key=True)
    owner: Mapped[str] = mapped_column(CleanText)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


class CallBudgetRow(Base):
    """How many calls to a program that others share may still be made now: a token bucket."""

    __tablename__ = "call_budgets"

    name: Mapped[str] = mapped_column(CleanText, primary_key=True)
    tokens: Mapped[float] = mapped_column(Double)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class CallStatisticsRow(Base):
    """How often a program was called, how often it failed, and how long it took (s)."""

    __tablename__ = "call_statistics"

    program: Mapped[str] = mapped_column(CleanText, primary_key=True)
    calls: Mapped[int] = mapped_column()
    failures: Mapped[int] = mapped_column()
    seconds: Mapped[float] = mapped_column(Double)
    last_seconds: Mapped[float] = mapped_column(Double)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class CallBucketRow(Base):
    """How many calls of a program took no longer than this, and longer than the next smaller bucket has."""

    __tablename__ = "call_buckets"

    program: Mapped[str] = mapped_column(CleanText, primary_key=True)
    up_to_seconds: Mapped[float] = mapped_column(Double, primary_key=True)
    calls: Mapped[int] = mapped_column()
