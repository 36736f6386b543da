"""Which runs go first: set by a person, for runs or for everything of a subject."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Select, Update, select, update
from sqlalchemy.orm import Session

from neuroflow.core.audit import Audit, write_audits
from neuroflow.core.store import Store, in_chunks, run_is_open
from neuroflow.models import RunRow, SubjectRow


class PriorityState(Store):
    """Set priorities."""

    def set_run_priorities(
        self, run_ids: Collection[int], priority: int, *, reason: str, actor: str
    ) -> tuple[int, ...]:
        """Give open runs another priority, in one transaction; return the ids of those that had not had it."""
        with self._write() as (session, now):
            before: dict[int, int] = {}
            for ids in in_chunks(sorted(set(run_ids))):
                query = select(RunRow.id, RunRow.priority).where(RunRow.id.in_(ids), run_is_open())
                rows = session.execute(_locking(query.where(RunRow.priority != priority)))
                before |= {row.id: row.priority for row in rows}
            for ids in in_chunks(sorted(before)):
                session.execute(_set(priority).where(RunRow.id.in_(ids)))
            event = "run.priority"
            write_audits(
                session,
                [Audit(now, actor, event, "run", one, str(old), str(priority), reason) for one, old in before.items()],
            )
        return tuple(sorted(before))

    def set_subject_priorities(
        self, subject_ids: Collection[int], priority: int, *, reason: str, actor: str
    ) -> tuple[int, ...]:
        """Give everything of some subjects, now and later, another priority; return the ids of those it was new to.

        Their ended runs get it too: a run that follows one of these takes it over.
        """
        with self._write() as (session, now):
            before = _of_subjects(session, subject_ids)
            for ids in in_chunks(sorted(before)):
                session.execute(_locking(select(RunRow.id).where(RunRow.subject_id.in_(ids))))
                session.execute(update(SubjectRow).where(SubjectRow.id.in_(ids)).values(priority=priority))
                session.execute(_set(priority).where(RunRow.subject_id.in_(ids)))
            entries = [
                Audit(now, actor, "subject.priority", "subject", one, str(old), str(priority), reason)
                for one, old in before.items()
                if old != priority
            ]
            write_audits(session, entries)
        return tuple(sorted(one for one, old in before.items() if old != priority))


def _locking(query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """Lock what is read in the order of ids, as everyone does: two transactions can't lock each other out then."""
    return query.order_by(RunRow.id).with_for_update(key_share=True)


def _set(priority: int) -> Update:
    return update(RunRow).values(priority=priority).execution_options(synchronize_session=False)


def _of_subjects(session: Session, subject_ids: Collection[int]) -> dict[int, int]:
    found: dict[int, int] = {}
    for ids in in_chunks(sorted(set(subject_ids))):
        rows = session.execute(select(SubjectRow.id, SubjectRow.priority).where(SubjectRow.id.in_(ids)))
        found |= {row.id: row.priority for row in rows}
    return found
