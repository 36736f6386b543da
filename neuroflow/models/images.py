"""The table of the container images that attempts were made with."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from neuroflow.models.base import Base
from neuroflow.models.types import CleanText, UtcDateTime


class ImageRow(Base):
    """One image as it was seen under its name; a change of the file makes another row."""

    __tablename__ = "images"
    __table_args__ = (UniqueConstraint("name", "stamp"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(CleanText)
    stamp: Mapped[str] = mapped_column(CleanText)
    identity: Mapped[str] = mapped_column(CleanText)
    size: Mapped[int | None] = mapped_column(BigInteger)
    digest: Mapped[str] = mapped_column(CleanText)
    tool_version: Mapped[str] = mapped_column(CleanText)
    first_seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    accepted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
