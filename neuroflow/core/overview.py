"""Count how everything stands, by indexes: the current runs of 100,000 sessions are counted without reading them.

The current run of a pipeline and scope is the newest that was not withdrawn (`RunRecord.was_withdrawn`). The newest is
marked in its row. Withdrawn ones among the newest are few, and soon followed by another run: what they hide is looked
up one by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from neuroflow.core.reading import Reader, as_time, maybe_time
from neuroflow.domain import RunStatus
from neuroflow.domain.overview import (
    FailureGroup,
    HourCount,
    QueueGroup,
    RunFilter,
    RunLine,
    Standing,
    StandingCount,
    standing_of,
)

_IDS_AT_ONCE = 500
_NEWEST = "r.is_newest AND NOT (r.status = 'cancelled' AND r.superseded)"
_FAILED = "r.status = 'failed' AND NOT r.superseded"
_STANDINGS = {
    Standing.DONE: "r.status = 'completed' AND NOT r.superseded",
    Standing.RUNNING: "r.status = 'running'",
    Standing.QUEUED: "r.status = 'submitted'",
    Standing.SUBMITTING: "r.status = 'submitting'",
    Standing.WAITING: "r.status IN ('pending', 'queued')",
    Standing.RETRYING: "r.status = 'retry_wait'",
    Standing.AGAIN: "r.superseded",
    Standing.FAILED: f"{_FAILED} AND r.resolution = ''",
    Standing.CLOSED: f"{_FAILED} AND r.resolution <> ''",
    Standing.CANCELLED: "r.status = 'cancelled' AND NOT r.superseded",
}
_LINE = (
    "SELECT r.id, r.pipeline, s.label, e.label, r.status, r.superseded, r.resolution, r.attempts, r.failure, r.reason, "
    "r.error_message, r.output_path, r.next_attempt_at, r.created_at, r.updated_at, r.started_at, r.ended_at "
    "FROM pipeline_runs r JOIN subjects s ON s.id = r.subject_id LEFT JOIN sessions e ON e.id = r.session_id WHERE "
)
_Part = tuple[str, list[object]]


@dataclass(frozen=True)
class _Failed:
    pipeline: str
    failure: str | None
    signature: str
    reason: str
    resolved: bool
    count: int
    newest: int


class Overview:
    """The current runs of a database, of the scopes and pipelines that are asked for."""

    def __init__(self, reader: Reader, wanted: RunFilter | None = None) -> None:
        self._reader = reader
        self._wanted = wanted or RunFilter()

    def standings(self) -> list[StandingCount]:
        """Return how many scopes of each pipeline stand where; failed ones that were dealt with count as closed."""
        counts: Counter[tuple[str, Standing]] = Counter()
        select = "SELECT r.pipeline, r.status, r.superseded, count(*) FROM pipeline_runs r WHERE "
        for where, values in self._current():
            for pipeline, status, superseded, count in self._rows(select + where + " GROUP BY 1, 2, 3", values):
                standing = standing_of(RunStatus(status), superseded=bool(superseded), resolved=False)
                counts[pipeline, standing] += count
        for group in self._failed:
            if group.resolved:
                counts[group.pipeline, Standing.CLOSED] += group.count
                counts[group.pipeline, Standing.FAILED] -= group.count
        return [StandingCount(*key, count=count) for key, count in sorted(counts.items()) if count]

    def failures(self, *, most: int) -> list[FailureGroup]:
        """Return the failed runs that wait for a person, grouped by how they failed, the largest groups first."""
        waiting = [group for group in self._failed if not group.resolved]
        largest = sorted(waiting, key=lambda group: (-group.count, -group.newest))[:most]
        lines = {line.run: line for line in self._lines_of([group.newest for group in largest])}
        found = []
        for group in largest:
            line = lines[group.newest]
            found.append(
                FailureGroup(
                    pipeline=group.pipeline,
                    failure=group.failure,
                    signature=group.signature,
                    reason=line.reason,
                    count=group.count,
                    newest_run=group.newest,
                    scope=line.scope,
                )
            )
        return found

    def runs(self, *, limit: int | None) -> list[RunLine]:
        """Return the current runs that match, the one that changed last first; with a limit, no more than that."""
        order = "ORDER BY r.updated_at DESC, r.id DESC"
        found: list[RunLine] = []
        for where, values in self._current(*self._listed()):
            if limit is None:
                rows = self._rows(f"{_LINE}{where} {order}", values)
            else:  # labels are looked up for those that are shown
                chosen = f"SELECT r.id FROM pipeline_runs r WHERE {where} {order} LIMIT ?"
                rows = self._rows(f"{_LINE}r.id IN ({chosen})", [*values, limit])
            found += map(_line, rows)
        return sorted(found, key=lambda line: (line.changed_at, line.run), reverse=True)[:limit]

    def page(self, *, after: str, size: int) -> list[RunLine]:
        """Return the next current runs that match, of one pipeline, by scope; fewer than asked for are the last.

        Page by page, because SQLite lets nobody write while a reader reads.

        Args:
            after: the last scope of the page before, empty for the first.
            size: how many.
        """
        found: list[RunLine] = []
        scope = self._reader.by_bytes("r.scope")
        for where, values in self._current(*self._listed(), (f"{scope} > ?", [after])):
            rows = self._rows(f"{_LINE}{where} ORDER BY {scope} LIMIT ?", [*values, size])
            found += map(_line, rows)
        return sorted(found, key=lambda line: line.scope)[:size]

    def count_runs(self) -> int:
        """Return how many current runs match."""
        select = "SELECT count(*) FROM pipeline_runs r WHERE "
        return sum(self._rows(select + where, values)[0][0] for where, values in self._current(*self._listed()))

    def queue(self) -> list[QueueGroup]:
        """Return why the jobs that were submitted have not started, in the cluster's words."""
        select = (
            "SELECT r.pipeline, a.job_reason, count(*) FROM attempts a JOIN pipeline_runs r ON r.id = a.run_id WHERE "
        )
        # Spelled as the partial index of open attempts is, so that it serves.
        is_open = "a.status NOT IN ('cancelled', 'failed', 'succeeded') AND a.status = 'submitted'"
        scopes, values = self._scopes()
        rows = self._rows(select + " AND ".join([is_open, *scopes]) + " GROUP BY 1, 2", values)
        return [QueueGroup(*row) for row in sorted(rows, key=lambda row: (row[0], -row[2], row[1]))]

    def ended_by_hour(self, *, since: datetime) -> list[HourCount]:
        """Return how many runs of each pipeline completed or failed in each hour, later ones of a scope included."""
        hour = self._reader.hour_of("r.ended_at")
        query = (
            f"SELECT r.pipeline, r.status, {hour}, count(*) FROM pipeline_runs r "
            "WHERE r.pipeline = ? AND r.status = ? AND r.ended_at >= ? GROUP BY 1, 2, 3"
        )
        found = []
        for pipeline in self._pipelines:
            for status in (RunStatus.COMPLETED, RunStatus.FAILED):
                for row in self._reader.rows(query, pipeline, status.value, since):
                    begin = datetime.strptime(row[2], "%Y-%m-%d %H").replace(tzinfo=UTC)
                    found.append(HourCount(pipeline, status, begin, row[3]))
        return sorted(found, key=lambda item: (item.pipeline, item.hour))

    def durations(self, pipeline: str, *, most: int) -> list[timedelta]:
        """Return how long the last runs of a pipeline that completed took, from the start of the first attempt."""
        query = (
            "SELECT r.started_at, r.ended_at FROM pipeline_runs r WHERE r.pipeline = ? AND r.status = 'completed' "
            "AND r.ended_at IS NOT NULL ORDER BY r.ended_at DESC LIMIT ?"
        )
        rows = self._reader.rows(query, pipeline, most)
        return [as_time(end) - as_time(begin) for begin, end in rows if begin is not None]

    @cached_property
    def _pipelines(self) -> list[str]:
        """The pipelines that have runs, one step in an index for each."""
        found: list[str] = []
        last: object = ""
        while last is not None:
            last = self._reader.rows("SELECT min(pipeline) FROM pipeline_runs WHERE pipeline > ?", last)[0][0]
            found += [] if last is None else [str(last)]
        return [name for name in found if not self._wanted.pipelines or name in self._wanted.pipelines]

    @cached_property
    def _failed(self) -> list[_Failed]:
        """The failed runs: few beside the others, so that their rows may be read."""
        # What was refused before an attempt has no signature: its reason tells it apart.
        columns = "r.pipeline, r.failure, r.signature, CASE WHEN r.signature = '' THEN r.reason ELSE '' END"
        select = f"SELECT {columns}, r.resolution <> '', count(*), max(r.id) FROM pipeline_runs r WHERE "
        groups: dict[tuple[Any, ...], tuple[int, int]] = {}
        for where, values in self._current(_FAILED):
            for *key, count, newest in self._rows(select + where + " GROUP BY 1, 2, 3, 4, 5", values):
                before = groups.get(tuple(key), (0, 0))
                groups[tuple(key)] = (before[0] + count, max(before[1], newest))
        return [_Failed(*[*key, count, newest]) for key, (count, newest) in groups.items()]

    def _listed(self) -> list[str | _Part]:
        conditions: list[str | _Part] = []
        if self._wanted.standings:
            conditions.append("(" + " OR ".join(f"({_STANDINGS[one]})" for one in self._wanted.standings) + ")")
        elif self._wanted.words:
            conditions.append("1 = 0")  # no run's row says these
        if self._wanted.since is not None:
            conditions.append(("r.updated_at >= ?", [self._wanted.since]))
        return conditions

    def _current(self, *conditions: str | _Part) -> Iterator[_Part]:
        """Yield the conditions of the current runs: of the marked ones, and of those that a withdrawn one hides."""
        texts, values = self._scopes()
        for condition in conditions:
            text, more = (condition, []) if isinstance(condition, str) else condition
            texts.append(text)
            values += more
        if self._wanted.subjects:
            # By the index of the subjects: few rows, all of them read.
            yield " AND ".join([*texts, _NEWEST]), values
        else:
            # Every other index that serves begins with the pipeline.
            names = f"r.pipeline IN ({_marks(self._pipelines)})"
            yield " AND ".join([names, _NEWEST, *texts]), [*self._pipelines, *values]
        for start in range(0, len(self._hidden), _IDS_AT_ONCE):
            ids = self._hidden[start : start + _IDS_AT_ONCE]
            yield " AND ".join([f"r.id IN ({_marks(ids)})", *texts]), [*ids, *values]

    @cached_property
    def _hidden(self) -> list[int]:
        earlier = (
            "SELECT max(o.id) FROM pipeline_runs o WHERE o.pipeline = r.pipeline AND o.scope = r.scope "
            "AND NOT (o.status = 'cancelled' AND o.superseded)"
        )
        query = (
            f"SELECT ({earlier}) FROM pipeline_runs r WHERE r.pipeline = ? AND r.is_newest AND r.status = 'cancelled' "
            "AND r.superseded"
        )
        rows = [row for pipeline in self._pipelines for row in self._reader.rows(query, pipeline)]
        return sorted(row[0] for row in rows if row[0] is not None)

    def _scopes(self) -> tuple[list[str], list[object]]:
        """Return the conditions of the scopes and pipelines that are asked for."""
        wanted = self._wanted
        texts: list[str] = []
        values: list[object] = []
        if wanted.pipelines:
            # An expression, because an index of the pipelines leads through many more rows than one of the subjects.
            column = "r.pipeline || ''" if wanted.subjects else "r.pipeline"
            texts.append(f"{column} IN ({_marks(wanted.pipelines)})")
            values += wanted.pipelines
        if wanted.subjects:
            texts.append(f"r.subject_id IN (SELECT id FROM subjects WHERE label IN ({_marks(wanted.subjects)}))")
            values += wanted.subjects
        if wanted.sessions:
            # A run of the whole subject is one of its session as well.
            marks = _marks(wanted.sessions)
            texts.append(
                f"(r.session_id IN (SELECT id FROM sessions WHERE label IN ({marks})) OR (r.session_id IS NULL AND "
                f"r.subject_id IN (SELECT subject_id FROM sessions WHERE label IN ({marks}))))"
            )
            values += (*wanted.sessions, *wanted.sessions)
        return texts, values

    def _lines_of(self, ids: Sequence[int]) -> list[RunLine]:
        if not ids:
            return []
        return [_line(row) for row in self._rows(f"{_LINE} r.id IN ({_marks(ids)})", list(ids))]

    def _rows(self, query: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        return self._reader.rows(query, *values)


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values)) or "NULL"


def _line(row: tuple[Any, ...]) -> RunLine:
    run, pipeline, subject, session, status, superseded, resolution, attempts, failure, reason, error, output = row[:12]
    next_attempt_at, created_at, changed_at, started_at, ended_at = row[12:]
    return RunLine(
        run=run,
        pipeline=pipeline,
        subject=subject,
        session=session,
        standing=standing_of(RunStatus(status), superseded=bool(superseded), resolved=bool(resolution)),
        status=RunStatus(status),
        attempts=attempts,
        failure=failure,
        reason=error or reason,
        output=output,
        next_attempt_at=maybe_time(next_attempt_at),
        created_at=as_time(created_at),
        changed_at=as_time(changed_at),
        started_at=maybe_time(started_at),
        ended_at=maybe_time(ended_at),
    )
