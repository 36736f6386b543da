"""Which results are out of date: exactly for few subjects, else as the scheduler last counted them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from neuroflow.core.reader_snapshot import read_few
from neuroflow.orchestrator.keys import OUT_OF_DATE_KEY
from neuroflow.orchestrator.out_of_date import OutOfDateCount, count_out_of_date, counts_of, still_out_of_date
from neuroflow.orchestrator.scheduler import plan_runs

if TYPE_CHECKING:
    from neuroflow.core.reading import Reader
    from neuroflow.domain.overview import RunFilter
    from neuroflow.orchestrator.registry import Registry
    from neuroflow.orchestrator.scheduler import OutOfDate

# To plan for these takes no longer than the other questions.
MOST_SUBJECTS = 200


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
        snapshot = read_few(reader, wanted, most=MOST_SUBJECTS, now=now)
        if snapshot is None:
            return OutOfDateCounts()
        found = still_out_of_date(plan_runs(snapshot, registry).out_of_date, snapshot.runs)
        return OutOfDateCounts(now, count_out_of_date(one for one in found if _is_wanted(one, wanted)))
    if OUT_OF_DATE_KEY not in values:
        return OutOfDateCounts()
    value, at = values[OUT_OF_DATE_KEY]
    return OutOfDateCounts(at, counts_of(value))


def _is_wanted(one: OutOfDate, wanted: RunFilter) -> bool:
    """Tell whether a scope is asked for; a whole subject is, together with a session of its own."""
    session = one.scope.partition("/ses-")[2]
    return not wanted.sessions or not session or session in wanted.sessions
