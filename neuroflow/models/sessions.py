"""The tables of what was found on disk: subjects and their sessions."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Double, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from neuroflow.domain import Series, SessionStatus
from neuroflow.models.base import Base
from neuroflow.models.types import CleanText, SeriesList, UtcDateTime, Word, Words


class SubjectRow(Base):
    """A subject."""

    __tablename__ = "subjects"
    __table_args__ = (UniqueConstraint("label"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(CleanText)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    priority: Mapped[int] = mapped_column(default=0, server_default="0")  # of runs that are opened for it


class SessionRow(Base):
    """An imaging session: one folder on disk."""

    __tablename__ = "sessions"
    __table_args__ = (
        UniqueConstraint("subject_id", "label"),
        Index(None, "status", "subject_id"),  # how many sessions, and how many subjects, stand where
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    subject_id: Mapped[int] = mapped_column(ForeignKey("subjects.id"))
    label: Mapped[str] = mapped_column(CleanText)
    path: Mapped[str] = mapped_column(CleanText)  # empty once another session was found in its folder
    status: Mapped[SessionStatus] = mapped_column(Word(SessionStatus))
    status_reason: Mapped[str] = mapped_column(CleanText)
    fingerprint: Mapped[str] = mapped_column(CleanText)
    fingerprint_since: Mapped[datetime] = mapped_column(UtcDateTime)
    files: Mapped[int] = mapped_column(BigInteger)
    bytes: Mapped[int] = mapped_column(BigInteger)
    newest_mtime: Mapped[float] = mapped_column(Double)  # seconds since the epoch
    series: Mapped[tuple[Series, ...]] = mapped_column(SeriesList)
    problems: Mapped[tuple[str, ...]] = mapped_column(Words)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
