"""Deliveries: the outbox, from which each message goes to each target by one sender at a time."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select, update

from neuroflow.core.store import Store, changed
from neuroflow.domain import DeliveryRecord, DeliveryStatus, Message
from neuroflow.models import DeliveryRow, MessageRow

# In the order of DeliveryRecord's fields, then of Message's.
_COLUMNS: tuple[Any, ...] = (
    DeliveryRow.id,
    DeliveryRow.message_id,
    DeliveryRow.target,
    DeliveryRow.status,
    DeliveryRow.tries,
    DeliveryRow.next_try_at,
    DeliveryRow.error,
    DeliveryRow.created_at,
    DeliveryRow.sent_at,
    MessageRow.subject,
    MessageRow.body,
    MessageRow.urgent,
)


class DeliveryState(Store):
    """Read and write deliveries."""

    def due_deliveries(self, *, limit: int) -> list[DeliveryRecord]:
        """Return the deliveries that are to be tried now, oldest first."""
        due = (DeliveryRow.status == DeliveryStatus.PENDING, DeliveryRow.next_try_at <= self._clock())
        with self._read() as session:
            rows = session.execute(_deliveries().where(*due).order_by(DeliveryRow.id).limit(limit)).all()
        return [_record(row) for row in rows]

    def list_deliveries(
        self, *, statuses: Collection[DeliveryStatus] = tuple(DeliveryStatus), limit: int | None = None
    ) -> list[DeliveryRecord]:
        """Return deliveries, newest first."""
        query = _deliveries().where(DeliveryRow.status.in_(statuses)).order_by(DeliveryRow.id.desc()).limit(limit)
        with self._read() as session:
            rows = session.execute(query).all()
        return [_record(row) for row in rows]

    def undelivered(self, *, since: datetime) -> int:
        """Return how many deliveries have failed at least once and were not made, of messages since a moment."""
        failing = (DeliveryRow.status != DeliveryStatus.SENT, DeliveryRow.error != "", DeliveryRow.created_at > since)
        with self._read() as session:
            return session.scalar(select(func.count()).select_from(DeliveryRow).where(*failing)) or 0

    def claim_delivery(self, delivery: DeliveryRecord, *, until: datetime) -> bool:
        """Take a delivery for this sender; False when another one did.

        A sender that dies leaves the claim behind: the delivery is due again at `until`.
        """
        return self._change(delivery, delivery.tries, {"tries": delivery.tries + 1, "next_try_at": until})

    def delivery_made(self, delivery: DeliveryRecord) -> bool:
        """Note that the claimed delivery was made."""
        values = {"status": DeliveryStatus.SENT, "error": "", "sent_at": self._clock()}
        return self._change(delivery, delivery.tries + 1, values)

    def delivery_missed(self, delivery: DeliveryRecord, *, error: str, next_try_at: datetime | None) -> bool:
        """Note that the claimed delivery failed, and when it is tried next; None gives it up."""
        values: dict[str, Any] = {"error": error}
        values |= {"status": DeliveryStatus.FAILED} if next_try_at is None else {"next_try_at": next_try_at}
        return self._change(delivery, delivery.tries + 1, values)

    def _change(self, delivery: DeliveryRecord, tries: int, values: dict[str, Any]) -> bool:
        same = (
            DeliveryRow.id == delivery.id,
            DeliveryRow.status == DeliveryStatus.PENDING,
            DeliveryRow.tries == tries,
        )
        with self._write() as (session, _):
            return changed(session.execute(update(DeliveryRow).where(*same).values(values))) == 1


def _deliveries() -> Select[Any]:
    return select(*_COLUMNS).join(MessageRow, MessageRow.id == DeliveryRow.message_id)


def _record(row: Any) -> DeliveryRecord:
    return DeliveryRecord(*(*row[:9], Message(*row[9:])))
