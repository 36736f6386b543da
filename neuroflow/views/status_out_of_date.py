"""Which results are out of date: exactly for few subjects, else as the scheduler last counted them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from neuroflow.core.reader_snapshot import read_subjects, subject_ids
from neuroflow.core.reading import open_reader
from neuroflow.orchestrator.keys import OUT_OF_DATE_KEY
from neuroflow.orchestrator.out_of_date import OutOfDateCount, count_out_of_date, counts_of, still_out_of_date
from neuroflow.orchestrator.scheduler import plan_runs

if TYPE_CHECKING:
    from neuroflow.config import NeuroflowConfig
    from neuroflow.core.reading import Reader
    from neuroflow.domain.overview import RunFilter
    from neuroflow.orchestrator.plan import OutOfDate
    from neuroflow.orchestrator.registry import Registry

# To plan for these takes no longer than the other questions.
MOST_SUBJECTS = 200
_PAGE = 5000


@dataclass(frozen=True)
class OutOfDateCounts:
    """The counts of every pipeline."""

    at: datetime | None = None  # when that was seen; None: it never was, or only for all scopes together
    pipelines: Mapping[str, OutOfDateCount] = field(default_factory=dict)

    def of(self, pipeline: str, *, done: int) -> OutOfDateCount | None:
        """Return a pipeline's, no more than are done; None where nobody has looked."""
        if self.at is None:
            return None
        return self.pipelines.get(pipeline, OutOfDateCount()).within(done)


def out_of_date_counts(
    reader: Reader,
    registry: Registry,
    wanted: RunFilter,
    *,
    values: Mapping[str, tuple[Mapping[str, Any], datetime]],
    now: datetime,
) -> OutOfDateCounts:
    """Return how many results are out of date, of the subjects and sessions that are asked for."""
    if wanted.narrows_scopes:
        places = places_of_few(reader, registry, wanted, now=now)
        if places is None:
            return OutOfDateCounts()
        return OutOfDateCounts(now, count_out_of_date(one for one in places if _is_wanted(one, wanted)))
    if OUT_OF_DATE_KEY not in values:
        return OutOfDateCounts()
    value, at = values[OUT_OF_DATE_KEY]
    return OutOfDateCounts(at, counts_of(value))


def places_of_few(
    reader: Reader, registry: Registry, wanted: RunFilter, *, now: datetime
) -> tuple[OutOfDate, ...] | None:
    """Return which results of the subjects that are asked for are out of date; None where these are many."""
    ids = subject_ids(reader, wanted, most=MOST_SUBJECTS + 1)
    return None if len(ids) > MOST_SUBJECTS else _places(reader, registry, ids, now)


def all_places(config: NeuroflowConfig, registry: Registry, wanted: RunFilter) -> set[tuple[str, str]]:
    """Return the pipelines and scopes of all results that are out of date, however many subjects are asked for."""
    found: set[tuple[str, str]] = set()
    last = 0
    while True:
        # No long transaction: where SQLite is read, nobody writes.
        with open_reader(config) as reader:
            ids = subject_ids(reader, wanted, after=last, most=_PAGE)
            found |= {(one.pipeline, one.scope) for one in _places(reader, registry, ids, datetime.now(UTC))}
        if len(ids) < _PAGE:
            return found
        last = ids[-1]


def _places(reader: Reader, registry: Registry, ids: Sequence[int], now: datetime) -> tuple[OutOfDate, ...]:
    snapshot = read_subjects(reader, ids, now=now)
    return tuple(still_out_of_date(plan_runs(snapshot, registry).out_of_date, snapshot.runs))


def _is_wanted(one: OutOfDate, wanted: RunFilter) -> bool:
    """Tell whether a scope is asked for; a whole subject is, together with a session of its own."""
    session = one.scope.partition("/ses-")[2]
    return not wanted.sessions or not session or session in wanted.sessions
