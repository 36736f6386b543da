"""What the services share: the audit log, small values, and leases."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, or_, select, update

from neuroflow.core import records
from neuroflow.core.audit import Audit, write_audit
from neuroflow.core.store import DEFAULT_ACTOR, Store, changed, insert_into
from neuroflow.domain import AuditRecord
from neuroflow.models import AuditRow, LeaseRow, ServiceValueRow


class ServiceState(Store):
    """Read and write the audit log, service values and leases."""

    def add_audit(
        self,
        event: str,
        *,
        entity: str,
        entity_id: int | None,
        before: str | None = None,
        after: str | None = None,
        reason: str,
        details: Mapping[str, object] | None = None,
        actor: str = DEFAULT_ACTOR,
    ) -> None:
        """Add a row to the audit log."""
        with self._write() as (session, now):
            write_audit(session, Audit(now, actor, event, entity, entity_id, before, after, reason, details or {}))

    def list_audit(
        self, *, entity: str | None = None, entity_id: int | None = None, limit: int | None = None
    ) -> list[AuditRecord]:
        """Return audit rows, oldest first, of one entity where given; with a limit, the newest ones."""
        query = records.audit().order_by(AuditRow.id.desc()).limit(limit)
        if entity is not None:
            query = query.where(AuditRow.entity == entity)
        if entity_id is not None:
            query = query.where(AuditRow.entity_id == entity_id)
        with self._read() as session:
            rows = session.execute(query).all()
        return [AuditRecord(*row) for row in reversed(rows)]

    def set_value(self, key: str, value: Mapping[str, Any]) -> None:
        """Store a value under a key, in place of the one before."""
        with self._write() as (session, now):
            changes = {"value": dict(value), "updated_at": now}
            statement = insert_into(session, ServiceValueRow, {"key": key, **changes})
            session.execute(statement.on_conflict_do_update(index_elements=["key"], set_=changes))

    def get_value(self, key: str) -> tuple[Mapping[str, Any], datetime] | None:
        """Return a value and when it was set, None when it never was."""
        query = select(ServiceValueRow.value, ServiceValueRow.updated_at).where(ServiceValueRow.key == key)
        with self._read() as session:
            row = session.execute(query).first()
        return None if row is None else (row.value, row.updated_at)

    def acquire_lease(self, name: str, *, owner: str, seconds: float) -> bool:
        """Take or prolong a lease; False while another owner holds it.

        Owners on several machines compare their own clocks: give it minutes, not seconds.
        """
        with self._write() as (session, now):
            values = {"owner": owner, "expires_at": now + timedelta(seconds=seconds)}
            statement = insert_into(session, LeaseRow, {"name": name, **values}).on_conflict_do_nothing()
            if session.scalar(statement.returning(LeaseRow.name)) is not None:
                return True
            free = or_(LeaseRow.owner == owner, LeaseRow.expires_at <= now)
            return changed(session.execute(update(LeaseRow).where(LeaseRow.name == name, free).values(values))) == 1

    def active_leases(self) -> dict[str, str]:
        """Return the leases that are held now, with their owners."""
        query = select(LeaseRow.name, LeaseRow.owner).where(LeaseRow.expires_at > self._clock())
        with self._read() as session:
            return {row.name: row.owner for row in session.execute(query)}

    def release_lease(self, name: str, owner: str) -> bool:
        """Give a lease back; False when the owner does not hold it."""
        with self._write() as (session, _):
            statement = delete(LeaseRow).where(LeaseRow.name == name, LeaseRow.owner == owner)
            return changed(session.execute(statement)) == 1
