"""Read tables of any length in pages: each as of one moment, none holding up those who write.

SQLite lets nobody write while somebody reads, so a reader that is as slow as a person's pager must not keep a
transaction open. Rows that are added meanwhile come last; none comes twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Executable, func, or_, select

from neuroflow.core import records
from neuroflow.core.store import IDS_PER_STATEMENT, Store
from neuroflow.domain import OPEN_RUN_STATUSES, AttemptRecord, RunRecord, SessionRecord, SessionStatus, Snapshot
from neuroflow.models import AttemptRow, RunRow, SessionRow, SubjectRow

ROWS_PER_PAGE = 2000
SUBJECTS_PER_PAGE = 500


@dataclass(frozen=True)
class RowFilter:
    """Which rows are wanted: all that are given must match; labels without `sub-` and `ses-`."""

    subjects: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    pipelines: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    since: datetime | None = None  # changed then or later


class PageState(Store):
    """Read all rows of a table, a page at a time."""

    def run_pages(self, wanted: RowFilter, *, size: int = ROWS_PER_PAGE) -> Iterator[list[RunRecord]]:
        """Return the runs, oldest first."""
        query = records.runs().order_by(RunRow.id).limit(size)
        query = query.where(*_labels(wanted), *_among(RunRow.status, wanted.statuses))
        if wanted.since is not None:
            query = query.where(RunRow.updated_at >= wanted.since)
        last = 0
        while page := [RunRecord(*row) for row in self._page(query.where(RunRow.id > last))]:
            yield page
            last = page[-1].id

    def attempt_pages(self, wanted: RowFilter, *, size: int = ROWS_PER_PAGE) -> Iterator[list[AttemptRecord]]:
        """Return the attempts, oldest first."""
        query = records.attempts().order_by(AttemptRow.id).limit(size)
        if wanted.subjects or wanted.sessions:
            query = query.join(SubjectRow, SubjectRow.id == RunRow.subject_id)
            query = query.outerjoin(SessionRow, SessionRow.id == RunRow.session_id)
        query = query.where(*_labels(wanted), *_among(AttemptRow.status, wanted.statuses))
        if wanted.since is not None:
            changed = func.coalesce(AttemptRow.ended_at, AttemptRow.last_seen_at, AttemptRow.created_at)
            query = query.where(changed >= wanted.since)
        last = 0
        while page := [AttemptRecord(*row) for row in self._page(query.where(AttemptRow.id > last))]:
            yield page
            last = page[-1].id

    def session_pages(
        self,
        *,
        subject: str | None = None,
        status: SessionStatus | None = None,
        limit: int | None = None,
        size: int = ROWS_PER_PAGE,
    ) -> Iterator[list[tuple[SessionRecord, int]]]:
        """Return sessions by subject and session label, without their series; beside each, how many it has.

        Args:
            subject: its sessions alone.
            status: those that stand so alone.
            limit: how many; all without it.
            size: how many a page has.
        """
        count = func.coalesce(func.json_array_length(SessionRow.series), 0)
        whole = records.sessions(with_series=False).add_columns(count).order_by(SubjectRow.label, SessionRow.label)
        whole = whole.where(*_standing(subject, status))
        query, left = whole, limit
        while left != 0:
            some = query.limit(size if left is None else min(left, size))
            page = [(SessionRecord(*row[:-1]), row[-1]) for row in self._page(some)]
            if not page:
                return
            yield page
            left = None if left is None else left - len(page)
            last = page[-1][0]
            # Not as a comparison of pairs: the index of the labels serves that on SQLite alone.
            later = or_(SubjectRow.label > last.subject, SessionRow.label > last.label)
            query = whole.where(SubjectRow.label >= last.subject, later)

    def count_listed(self, *, subject: str | None = None, status: SessionStatus | None = None) -> int:
        """Return how many sessions `session_pages` gives without a limit."""
        query = select(func.count()).select_from(SessionRow).join(SubjectRow, SubjectRow.id == SessionRow.subject_id)
        return int(self._page(query.where(*_standing(subject, status)))[0][0])

    def snapshot_pages(self, *, subjects: Collection[str] = (), size: int = SUBJECTS_PER_PAGE) -> Iterator[Snapshot]:
        """Return a snapshot of each few subjects, by label; what a subject's runs depend on is in the same one."""
        query = select(SubjectRow.id, SubjectRow.label).order_by(SubjectRow.label).limit(size)
        query = query.where(*_among(SubjectRow.label, subjects))
        last = ""
        while page := self._page(query.where(SubjectRow.label > last)):
            yield self._snapshot_of([row.id for row in page])
            last = page[-1].label

    def tool_versions(self, run_ids: Collection[int]) -> dict[int, str]:
        """Return the version of the tool in each run's last attempt, where it is known."""
        found: dict[int, str] = {}
        for chunk in _chunks(sorted(set(run_ids))):
            query = select(AttemptRow.run_id, AttemptRow.image_version)
            query = query.where(AttemptRow.run_id.in_(chunk)).order_by(AttemptRow.run_id, AttemptRow.number)
            found |= {row.run_id: row.image_version for row in self._page(query)}
        return {run_id: version for run_id, version in found.items() if version}

    def known_session_labels(self, labels: Collection[str]) -> frozenset[str]:
        """Return which of some labels are those of sessions, of whichever subject."""
        query = select(SessionRow.label).where(SessionRow.label.in_(sorted(labels))).distinct()
        return frozenset(row.label for row in self._page(query))

    def _snapshot_of(self, subject_ids: list[int]) -> Snapshot:
        sessions: list[SessionRecord] = []
        runs: list[RunRecord] = []
        with self._read() as transaction:
            for chunk in _chunks(subject_ids):
                found = records.sessions(with_series=False).where(SessionRow.subject_id.in_(chunk))
                sessions += [SessionRecord(*row) for row in transaction.execute(found)]
                # All of them: to let the database find the newest, it reads the runs of every subject each time.
                every = records.runs(brief=True).where(RunRow.subject_id.in_(chunk)).order_by(RunRow.id)
                runs += _that_count(RunRecord(*row) for row in transaction.execute(every))
        return Snapshot(now=self._clock(), sessions=tuple(sessions), runs=tuple(runs))

    def _page(self, query: Executable) -> list[Any]:
        with self._read() as session:
            return list(session.execute(query).all())


def _that_count(runs: Iterable[RunRecord]) -> list[RunRecord]:
    """Return the open runs, and the newest ended one of each pipeline and scope; runs come oldest first."""
    open_runs = []
    newest: dict[tuple[str, str], RunRecord] = {}
    for run in runs:
        if run.status in OPEN_RUN_STATUSES:
            open_runs.append(run)
        elif not run.was_withdrawn:
            newest[run.pipeline, run.scope] = run
    return [*open_runs, *newest.values()]


def _standing(subject: str | None, status: SessionStatus | None) -> list[ColumnElement[bool]]:
    labels = [] if subject is None else [SubjectRow.label == subject]
    return labels if status is None else [*labels, SessionRow.status == status]


def _labels(wanted: RowFilter) -> list[ColumnElement[bool]]:
    return [
        *_among(SubjectRow.label, wanted.subjects),
        *_among(SessionRow.label, wanted.sessions),
        *_among(RunRow.pipeline, wanted.pipelines),
    ]


def _among(column: Any, values: Collection[str]) -> list[ColumnElement[bool]]:
    return [column.in_(sorted(values))] if values else []


def _chunks(ids: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(ids), IDS_PER_STATEMENT):
        yield ids[start : start + IDS_PER_STATEMENT]
