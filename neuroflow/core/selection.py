"""Pick out what a person means: the runs and sessions that match, and what the scheduler sees of their subjects."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, not_, select
from sqlalchemy.orm import aliased

from neuroflow.core import records
from neuroflow.core.snapshot import read_snapshot
from neuroflow.core.store import Store, in_chunks, was_withdrawn
from neuroflow.domain import RunFilter, RunRecord, SessionRecord, Snapshot, SubjectRecord
from neuroflow.models import RunRow, SessionRow, SubjectRow

# Of more subjects than these, everything is read at once: that is faster than so many questions.
MOST_SUBJECTS = 5000


class SelectionState(Store):
    """Find runs and sessions by what a person says of them."""

    def select_runs(self, wanted: RunFilter) -> list[RunRecord]:
        """Return the runs that match and are the present ones of their pipeline and scope, oldest first.

        Those that a later run has replaced, or that are to be run again already, are left out; metrics and error
        messages too.
        """
        query = records.runs(brief=True).where(*_conditions(wanted), is_newest(), RunRow.superseded.is_(False))
        found: dict[int, RunRecord] = {}
        with self._read() as session:
            for narrowed in _by_scope(query, wanted):
                found |= {row.id: RunRecord(*row) for row in session.execute(narrowed)}
        return [found[run_id] for run_id in sorted(found)]

    def present_runs(self, subject_ids: Collection[int]) -> list[RunRecord]:
        """Return the present run of each pipeline and scope of some subjects, oldest first; withdrawn ones are none."""
        query = records.runs(brief=True).where(is_newest(), not_(was_withdrawn(RunRow)))
        found: list[RunRecord] = []
        with self._read() as session:
            for ids in in_chunks(sorted(subject_ids)):
                found += [RunRecord(*row) for row in session.execute(query.where(RunRow.subject_id.in_(ids)))]
        return sorted(found, key=lambda run: run.id)

    def select_sessions(self, *, subjects: Sequence[str] = (), sessions: Sequence[str] = ()) -> list[SessionRecord]:
        """Return the sessions with these labels, by label and without their series; nothing given: all."""
        query = records.sessions(with_series=False).order_by(SubjectRow.label, SessionRow.label)
        if sessions:
            query = query.where(SessionRow.label.in_(sessions))
        chunks = in_chunks(sorted(set(subjects))) if subjects else [()]
        with self._read() as session:
            rows = [
                row
                for labels in chunks
                for row in session.execute(query.where(SubjectRow.label.in_(labels)) if labels else query)
            ]
        return [SessionRecord(*row) for row in rows]

    def get_sessions(self, session_ids: Collection[int]) -> dict[int, SessionRecord]:
        """Return sessions by id, without their series; those that are not there are left out."""
        found: dict[int, SessionRecord] = {}
        query = records.sessions(with_series=False)
        with self._read() as session:
            for ids in in_chunks(sorted(set(session_ids))):
                found |= {row.id: SessionRecord(*row) for row in session.execute(query.where(SessionRow.id.in_(ids)))}
        return found

    def select_subjects(self, labels: Collection[str]) -> dict[str, SubjectRecord]:
        """Return subjects by label; those that are not there are left out."""
        found: dict[str, SubjectRecord] = {}
        with self._read() as session:
            for chunk in in_chunks(sorted(set(labels))):
                rows = session.execute(records.subjects().where(SubjectRow.label.in_(chunk)))
                found |= {row.label: SubjectRecord(*row) for row in rows}
        return found

    def snapshot_of(self, subject_ids: Collection[int]) -> Snapshot:
        """Return what `snapshot` does, of some subjects only, all at one moment."""
        ids = sorted(set(subject_ids))
        now = self._clock()
        with self._read() as session:
            if len(ids) > MOST_SUBJECTS:
                whole = read_snapshot(session, now)
                return _of_subjects(whole, set(ids))
            parts = [read_snapshot(session, now, subject_ids=chunk) for chunk in in_chunks(ids)]
        return Snapshot(
            now,
            tuple(item for part in parts for item in part.sessions),
            tuple(item for part in parts for item in part.runs),
        )


def is_newest() -> ColumnElement[bool]:
    """Return the condition that no later run of the same pipeline and scope stands; a withdrawn one hides nothing."""
    later = aliased(RunRow)
    newer = select(later.id).where(
        later.pipeline == RunRow.pipeline,
        later.scope == RunRow.scope,
        later.id > RunRow.id,
        not_(was_withdrawn(later)),
    )
    return ~exists(newer.correlate(RunRow))


def _conditions(wanted: RunFilter) -> Iterator[ColumnElement[bool]]:
    if wanted.pipeline is not None:
        yield RunRow.pipeline == wanted.pipeline
    if wanted.statuses:
        yield RunRow.status.in_(sorted(wanted.statuses))
    if wanted.failure is not None:
        yield RunRow.failure == wanted.failure
    if wanted.signature is not None:
        yield RunRow.signature == wanted.signature
    if wanted.since is not None:
        yield RunRow.updated_at >= wanted.since
    if wanted.subjects:
        yield SubjectRow.label.in_(wanted.subjects)
    if wanted.sessions:
        yield SessionRow.label.in_(wanted.sessions)


def _by_scope(query: Select[Any], wanted: RunFilter) -> Iterable[Select[Any]]:
    """Divide a query by the subjects and sessions that were named, which may be very many."""
    if wanted.scopes is None:
        return [query]
    columns = ((RunRow.subject_id, wanted.scopes.subjects), (RunRow.session_id, wanted.scopes.sessions))
    return [query.where(column.in_(ids)) for column, named in columns for ids in in_chunks(sorted(named))]


def _of_subjects(snapshot: Snapshot, subject_ids: Collection[int]) -> Snapshot:
    return Snapshot(
        snapshot.now,
        tuple(item for item in snapshot.sessions if item.subject_id in subject_ids),
        tuple(item for item in snapshot.runs if item.subject_id in subject_ids),
    )
