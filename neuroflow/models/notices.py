"""The tables of the notifications: what happened, the messages made of it, and their delivery to each target."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from neuroflow.domain import DeliveryStatus, NoticeKind
from neuroflow.models.base import Base
from neuroflow.models.types import CleanText, UtcDateTime, Word


class MessageRow(Base):
    """A message: written together with the notices that it tells of."""

    __tablename__ = "messages"
    __table_args__ = (Index(None, "created_at"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(CleanText)
    body: Mapped[str] = mapped_column(CleanText)
    urgent: Mapped[bool] = mapped_column()
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class NoticeRow(Base):
    """Something that happened; written in the transaction of the change itself."""

    __tablename__ = "notices"
    __table_args__ = (Index(None, "message_id", "id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    kind: Mapped[NoticeKind] = mapped_column(Word(NoticeKind))
    entity_id: Mapped[int | None] = mapped_column()
    pipeline: Mapped[str] = mapped_column(CleanText)
    text: Mapped[str] = mapped_column(CleanText)
    message_id: Mapped[int | None] = mapped_column(ForeignKey("messages.id"))  # none: nobody was told yet


class DeliveryRow(Base):
    """A message on its way to one target: the outbox."""

    __tablename__ = "deliveries"
    __table_args__ = (Index(None, "status", "next_try_at"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    message_id: Mapped[int] = mapped_column(ForeignKey("messages.id"))
    target: Mapped[str] = mapped_column(CleanText)
    status: Mapped[DeliveryStatus] = mapped_column(Word(DeliveryStatus))
    tries: Mapped[int] = mapped_column()
    next_try_at: Mapped[datetime] = mapped_column(UtcDateTime)
    error: Mapped[str] = mapped_column(CleanText)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
