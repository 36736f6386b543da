"""Count what became of all attempts, without reading all of them each time.

The sums up to some id are kept as a service value, with the ids of those that were open then. Each look reads what
has ended since: attempts with higher ids, and those of the open ones that are open no more. An attempt that has ended
stays so, hence the sums only grow. Whoever writes them last wins; each version stands by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from neuroflow.core.dead_letters import is_dead_letter
from neuroflow.core.store import IDS_PER_STATEMENT, Store, attempt_is_open, insert_into
from neuroflow.domain.tallies import TIME_BUCKETS, WAIT_BUCKETS, AttemptTallies, Histogram, StateCounts
from neuroflow.models import AttemptRow, RunRow, ServiceValueRow, SessionRow

TALLIES_KEY = "tallies"
VERSION = 1  # of the kept sums; with another one they are made anew
# A row with a lower id may become visible later than one with a higher id: PostgreSQL numbers before it commits.
_LATE_ROWS = 1000
_KEEP_EVERY = 500  # newly ended attempts
_COLUMNS = (
    AttemptRow.id,
    RunRow.pipeline,
    AttemptRow.status,
    AttemptRow.failure,
    AttemptRow.submitted_at,
    AttemptRow.started_at,
    AttemptRow.ended_at,
)


@dataclass
class _Kept:
    """The sums over the attempts up to an id, but for those that were open."""

    up_to: int = 0
    open_ids: frozenset[int] = frozenset()
    tallies: AttemptTallies = field(default_factory=AttemptTallies)


class TallyState(Store):
    """Count attempts, runs and sessions."""

    def attempt_tallies(self) -> AttemptTallies:
        """Return what became of all attempts that have ended."""
        with self._read() as session:
            kept = _load(session)
            newest = session.scalars(select(func.coalesce(func.max(AttemptRow.id), 0))).one()
            up_to = max(kept.up_to, newest - _LATE_ROWS)
            still_open = frozenset(session.scalars(select(AttemptRow.id).where(attempt_is_open())))
            tallies = kept.tallies
            later: list[Any] = []
            added = 0
            for row in _ended_since(session, kept, still_open):
                if row.id > up_to:
                    later.append(row)
                else:
                    _count(tallies, row)
                    added += 1
            new = _as_json(up_to, {one for one in still_open if one <= up_to}, tallies)
            for row in later:
                _count(tallies, row)
        if added >= _KEEP_EVERY:
            self._keep(new)
        return tallies

    def state_counts(self) -> StateCounts:
        """Return how many runs and sessions stand where, and the dead letters."""
        runs = select(RunRow.pipeline, RunRow.status, func.count()).group_by(RunRow.pipeline, RunRow.status)
        sessions = select(SessionRow.status, func.count()).group_by(SessionRow.status)
        dead = select(RunRow.pipeline, func.count()).where(is_dead_letter()).group_by(RunRow.pipeline)
        with self._read() as session:
            return StateCounts(
                runs={(row[0], row[1].value): row[2] for row in session.execute(runs)},
                sessions={row[0].value: row[1] for row in session.execute(sessions)},
                dead_letters={row[0]: row[1] for row in session.execute(dead)},
            )

    def _keep(self, value: Mapping[str, Any]) -> None:
        with self._write() as (session, now):
            changes = {"value": dict(value), "updated_at": now}
            statement = insert_into(session, ServiceValueRow, {"key": TALLIES_KEY, **changes})
            session.execute(statement.on_conflict_do_update(index_elements=["key"], set_=changes))


def _ended_since(session: Session, kept: _Kept, still_open: frozenset[int]) -> Iterator[Any]:
    ended = select(*_COLUMNS).join(RunRow, RunRow.id == AttemptRow.run_id).where(~attempt_is_open())
    gone = sorted(kept.open_ids - still_open)
    for start in range(0, len(gone), IDS_PER_STATEMENT):
        yield from session.execute(ended.where(AttemptRow.id.in_(gone[start : start + IDS_PER_STATEMENT])))
    later = ended.where(AttemptRow.id > kept.up_to).execution_options(yield_per=1000)
    yield from session.execute(later)


def _count(tallies: AttemptTallies, row: Any) -> None:
    tallies.ended[row.pipeline, row.status.value, row.failure.value if row.failure is not None else ""] += 1
    wait = _between(row.submitted_at, row.started_at)
    if wait is not None:
        tallies.waits.setdefault(row.pipeline, Histogram(WAIT_BUCKETS)).add(wait)
    time = _between(row.started_at, row.ended_at)
    if time is not None:
        tallies.times.setdefault(row.pipeline, Histogram(TIME_BUCKETS)).add(time)


def _between(begin: datetime | None, end: datetime | None) -> float | None:
    return None if begin is None or end is None else (end - begin).total_seconds()


def _load(session: Session) -> _Kept:
    value = session.scalar(select(ServiceValueRow.value).where(ServiceValueRow.key == TALLIES_KEY))
    bounds = [list(WAIT_BUCKETS), list(TIME_BUCKETS)]
    if value is None or value.get("version") != VERSION or value.get("bounds") != bounds:
        return _Kept()
    tallies = AttemptTallies(
        ended=Counter({(row[0], row[1], row[2]): row[3] for row in value["ended"]}),
        waits={name: Histogram(WAIT_BUCKETS, item["counts"], item["total"]) for name, item in value["waits"].items()},
        times={name: Histogram(TIME_BUCKETS, item["counts"], item["total"]) for name, item in value["times"].items()},
    )
    return _Kept(value["up_to"], frozenset(value["open"]), tallies)


def _as_json(up_to: int, open_ids: set[int], tallies: AttemptTallies) -> dict[str, Any]:
    def plain(histograms: Mapping[str, Histogram]) -> dict[str, Any]:
        return {name: {"counts": list(item.counts), "total": item.total} for name, item in histograms.items()}

    return {
        "version": VERSION,
        "bounds": [list(WAIT_BUCKETS), list(TIME_BUCKETS)],
        "up_to": up_to,
        "open": sorted(open_ids),
        "ended": [[*key, count] for key, count in sorted(tallies.ended.items())],
        "waits": plain(tallies.waits),
        "times": plain(tallies.times),
    }
