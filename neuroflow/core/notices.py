"""Notices, and the messages that they are gathered into: nothing is told twice, and nothing is forgotten."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from neuroflow.core.notice_rows import LONGEST_TEXT
from neuroflow.core.store import IDS_PER_STATEMENT, Store, alone, changed, insert_into
from neuroflow.domain import DeliveryStatus, Message, Notice, NoticeKind, Told
from neuroflow.models import DeliveryRow, MessageRow, NoticeRow, ServiceValueRow

TOLD_PREFIX = "told:"
CONDITION_PREFIX = "condition:"
# More are read in the next round.
_MOST_NOTICES = 5_000


class _ToldAlready(Exception):
    """Roll back: another process has made a message of one of the notices."""


class NoticeState(Store):
    """Read notices, and turn them into messages."""

    def pending_notices(self) -> list[Notice]:
        """Return what nobody was told yet, oldest first."""
        columns = (NoticeRow.id, NoticeRow.at, NoticeRow.kind, NoticeRow.entity_id, NoticeRow.pipeline, NoticeRow.text)
        query = select(*columns).where(NoticeRow.message_id.is_(None)).order_by(NoticeRow.id).limit(_MOST_NOTICES)
        with self._read() as session:
            return [Notice(*row) for row in session.execute(query).all()]

    def note_condition(self, name: str, condition: str, *, kind: NoticeKind | None, text: str) -> bool:
        """Store a condition, and add a notice if it is another one than before; tell whether it is.

        Args:
            kind: None where the change is worth no notice.
        """
        with self._write() as (session, now):
            alone(session, CONDITION_PREFIX + name)
            query = select(ServiceValueRow.value).where(ServiceValueRow.key == CONDITION_PREFIX + name)
            before = session.scalar(query)
            if before is not None and before.get("condition") == condition:
                return False
            _set_value(session, CONDITION_PREFIX + name, {"condition": condition}, now)
            if kind is not None:
                values = {"at": now, "kind": kind, "entity_id": None, "pipeline": "", "text": text[:LONGEST_TEXT]}
                session.execute(insert(NoticeRow).values(**values, message_id=None))
            return True

    def condition(self, name: str) -> tuple[str, datetime] | None:
        """Return a condition, and since when it is so."""
        query = select(ServiceValueRow.value, ServiceValueRow.updated_at)
        with self._read() as session:
            row = session.execute(query.where(ServiceValueRow.key == CONDITION_PREFIX + name)).first()
        return None if row is None else (str(row.value.get("condition", "")), row.updated_at)

    def told(self) -> dict[str, Told]:
        """Return how often, and when last, people were told of each topic that comes back."""
        query = select(ServiceValueRow.key, ServiceValueRow.value, ServiceValueRow.updated_at)
        with self._read() as session:
            rows = session.execute(query.where(ServiceValueRow.key.like(f"{TOLD_PREFIX}%"))).all()
        return {key.removeprefix(TOLD_PREFIX): Told(int(value.get("times", 1)), at) for key, value, at in rows}

    def messages_since(self, moment: datetime) -> int:
        """Return how many messages were written after a moment."""
        query = select(func.count()).select_from(MessageRow).where(MessageRow.created_at > moment)
        with self._read() as session:
            return session.scalar(query) or 0

    def drop_notices(self, notice_ids: Collection[int]) -> int:
        """Forget notices that nobody is to be told of."""
        pending = NoticeRow.message_id.is_(None)
        dropped = 0
        with self._write() as (session, _):
            for ids in _parts(notice_ids):
                dropped += changed(session.execute(delete(NoticeRow).where(NoticeRow.id.in_(ids), pending)))
        return dropped

    def queue_message(
        self, message: Message, *, notice_ids: Collection[int], times: Mapping[str, int], targets: Sequence[str]
    ) -> int | None:
        """Write a message with its deliveries, and mark its notices as told; None when another process was faster.

        Args:
            times: how often in a row people have now been told, by topic.
        """
        try:
            return self._queue_message(message, notice_ids, times, targets)
        except _ToldAlready:
            return None

    def _queue_message(
        self, message: Message, notice_ids: Collection[int], times: Mapping[str, int], targets: Sequence[str]
    ) -> int:
        with self._write() as (session, now):
            alone(session, "notify")
            values = {"subject": message.subject, "body": message.body, "urgent": message.urgent, "created_at": now}
            message_id = session.scalars(insert(MessageRow).values(values).returning(MessageRow.id)).one()
            if _mark(session, notice_ids, message_id) != len(set(notice_ids)):
                raise _ToldAlready
            for topic, number in times.items():
                _set_value(session, TOLD_PREFIX + topic, {"times": number}, now)
            for target in targets:
                delivery = {"message_id": message_id, "target": target, "status": DeliveryStatus.PENDING, "tries": 0}
                rest = {"next_try_at": now, "error": "", "created_at": now}
                session.execute(insert(DeliveryRow).values(delivery | rest))
            return message_id

    def prune_messages(self, before: datetime) -> int:
        """Delete the messages of before a moment that no delivery waits for, with all that belongs to them."""
        waiting = select(DeliveryRow.message_id).where(DeliveryRow.status == DeliveryStatus.PENDING)
        old = select(MessageRow.id).where(MessageRow.created_at < before, MessageRow.id.not_in(waiting))
        with self._write() as (session, _):
            ids = list(session.scalars(old.limit(IDS_PER_STATEMENT)))
            session.execute(delete(DeliveryRow).where(DeliveryRow.message_id.in_(ids)))
            session.execute(delete(NoticeRow).where(NoticeRow.message_id.in_(ids)))
            session.execute(delete(MessageRow).where(MessageRow.id.in_(ids)))
            topics = ServiceValueRow.key.like(f"{TOLD_PREFIX}%")
            session.execute(delete(ServiceValueRow).where(topics, ServiceValueRow.updated_at < before))
        return len(ids)


def _mark(session: Session, notice_ids: Collection[int], message_id: int) -> int:
    pending = NoticeRow.message_id.is_(None)
    statements = [
        update(NoticeRow).where(NoticeRow.id.in_(ids), pending).values(message_id=message_id)
        for ids in _parts(notice_ids)
    ]
    return sum(changed(session.execute(statement)) for statement in statements)


def _parts(ids: Collection[int]) -> list[list[int]]:
    ordered = sorted(set(ids))
    return [ordered[start : start + IDS_PER_STATEMENT] for start in range(0, len(ordered), IDS_PER_STATEMENT)]


def _set_value(session: Session, key: str, value: Mapping[str, object], now: datetime) -> None:
    changes = {"value": dict(value), "updated_at": now}
    statement = insert_into(session, ServiceValueRow, {"key": key, **changes})
    session.execute(statement.on_conflict_do_update(index_elements=["key"], set_=changes))
