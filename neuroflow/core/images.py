"""Images: which were seen under which name, which of them attempts were made with, and which nobody expected."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, insert, select, update
from sqlalchemy.orm import Session

from neuroflow.core import records
from neuroflow.core.audit import Audit, write_audit
from neuroflow.core.store import DEFAULT_ACTOR, Store, alone
from neuroflow.domain import ImageFacts, ImageRecord, is_same_content, told
from neuroflow.models import AttemptRow, ImageRow


class ImageState(Store):
    """Write down what images are seen, and read it again."""

    def record_image(self, facts: ImageFacts) -> tuple[ImageRecord, bool]:
        """Return the record of an image, and whether this call is the first to find it in another's place."""
        with self._read() as session:
            known = _seen(session, facts)
        if known is not None:
            return known, False
        with self._write() as (session, now):
            alone(session, f"image:{facts.name}")
            known = _seen(session, facts)
            if known is not None:
                return known, False
            before = _expected(session, facts.name)
            same = before is None or is_same_content(before, facts)
            values = {
                "name": facts.name,
                "stamp": facts.stamp,
                "identity": facts.identity,
                "size": facts.size,
                "digest": facts.digest,
                "tool_version": "",
                "first_seen_at": now,
                "accepted_at": now if same else None,
            }
            new_id = session.scalars(insert(ImageRow).values(values).returning(ImageRow.id)).one()
            record = _one(session, records.images().where(ImageRow.id == new_id))
            if before is not None and not same:
                _write_change(session, before, record, now)
            return record, not same

    def image_history(self, name: str) -> list[ImageRecord]:
        """Return what was seen under a name, first to last."""
        return self._images(records.images().where(ImageRow.name == name).order_by(ImageRow.id))

    def expected_image(self, name: str) -> ImageRecord | None:
        """Return the image that was accepted last under a name, None before the first."""
        with self._read() as session:
            return _expected(session, name)

    def get_images(self, ids: Collection[int]) -> dict[int, ImageRecord]:
        """Return images by id."""
        return {record.id: record for record in self._images(records.images().where(ImageRow.id.in_(set(ids))))}

    def attempts_by_image(self) -> dict[int, int]:
        """Return how many attempts were made with each image."""
        query = select(AttemptRow.image_record_id, func.count()).group_by(AttemptRow.image_record_id)
        with self._read() as session:
            return {row[0]: row[1] for row in session.execute(query) if row[0] is not None}

    def set_image_digest(self, image_id: int, digest: str) -> tuple[ImageRecord, bool]:
        """Store an image's digest; return its record, and whether the digest shows that it is another one than before.

        Where its id could not tell, the digest can: a touched file is accepted, one that was altered no longer.
        """
        with self._write() as (session, now):
            record = _one(session, records.images().where(ImageRow.id == image_id))
            alone(session, f"image:{record.name}")
            before = _expected(session, record.name, but=image_id)
            accepted = record.accepted_at
            if before is not None and before.digest:
                accepted = (accepted or now) if before.digest == digest else None
            values = {"digest": digest, "accepted_at": accepted}
            session.execute(update(ImageRow).where(ImageRow.id == image_id).values(values))
            found = _one(session, records.images().where(ImageRow.id == image_id))
            changed_now = record.accepted_at is not None and accepted is None
            if changed_now and before is not None:
                _write_change(session, before, found, now)
            return found, changed_now

    def set_tool_version(self, image_id: int, version: str) -> None:
        """Store what the tool in an image said of its version."""
        with self._write() as (session, _):
            session.execute(update(ImageRow).where(ImageRow.id == image_id).values(tool_version=version))

    def accept_image(self, image_id: int, *, actor: str = DEFAULT_ACTOR) -> bool:
        """Accept an image that took another's place; False when it was accepted already."""
        with self._write() as (session, now):
            record = _one(session, records.images().where(ImageRow.id == image_id))
            if not record.changed:
                return False
            session.execute(update(ImageRow).where(ImageRow.id == image_id).values(accepted_at=now))
            write_audit(
                session,
                Audit(now, actor, "image.accepted", "image", image_id, None, record.name, f"now {told(record)}"),
            )
            return True

    def _images(self, query: Select[Any]) -> list[ImageRecord]:
        with self._read() as session:
            return [ImageRecord(*row) for row in session.execute(query)]


def _seen(session: Session, facts: ImageFacts) -> ImageRecord | None:
    query = records.images().where(ImageRow.name == facts.name, ImageRow.stamp == facts.stamp)
    row = session.execute(query).first()
    return None if row is None else ImageRecord(*row)


def _expected(session: Session, name: str, *, but: int | None = None) -> ImageRecord | None:
    query = records.images().where(ImageRow.name == name, ImageRow.accepted_at.is_not(None))
    if but is not None:
        query = query.where(ImageRow.id != but)
    row = session.execute(query.order_by(ImageRow.accepted_at.desc(), ImageRow.id.desc()).limit(1)).first()
    return None if row is None else ImageRecord(*row)


def _one(session: Session, query: Select[Any]) -> ImageRecord:
    return ImageRecord(*session.execute(query).one())


def _write_change(session: Session, before: ImageRecord, after: ImageRecord, now: datetime) -> None:
    reason = f"{after.name} was {told(before)}, and is {told(after)}"
    details = {"before": before.id, "after": after.id}
    write_audit(
        session,
        Audit(now, DEFAULT_ACTOR, "image.changed", "image", after.id, told(before), told(after), reason, details),
    )
