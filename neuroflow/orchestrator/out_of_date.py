"""How many results are out of date, as the scheduler last saw it: counted, and kept for those who only look.

Whether a completed run is over the present inputs depends on all that is upstream of it: `advance` reads that anyway.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from neuroflow.domain import OPEN_RUN_STATUSES, RunRecord
from neuroflow.orchestrator.keys import OUT_OF_DATE_KEY
from neuroflow.orchestrator.plan import OutOfDate
from neuroflow.orchestrator.scheduler import plan_runs

if TYPE_CHECKING:
    from neuroflow.orchestrator.services import Services


@dataclass(frozen=True)
class OutOfDateCount:
    """How many scopes of a pipeline have a completed run that is not over the present inputs."""

    coming: int = 0  # to be run again, or waiting for that
    blocked: int = 0  # nothing brings them on by itself

    @property
    def total(self) -> int:
        """All of them."""
        return self.coming + self.blocked

    def within(self, done: int) -> OutOfDateCount:
        """Return no more than have a completed run now: since they were counted, some may have been opened again."""
        blocked = min(self.blocked, done)
        return OutOfDateCount(min(self.coming, done - blocked), blocked)


def remember_out_of_date(services: Services, found: Iterable[OutOfDate]) -> None:
    """Keep how many results of each pipeline are out of date."""
    kept = {name: {"coming": one.coming, "blocked": one.blocked} for name, one in count_out_of_date(found).items()}
    services.state.set_value(OUT_OF_DATE_KEY, {"pipelines": kept})


def look_for_out_of_date(services: Services) -> None:
    """Read all that is there, and keep how many results are out of date."""
    remember_out_of_date(services, plan_runs(services.state.snapshot(), services.registry).out_of_date)


def still_out_of_date(found: Iterable[OutOfDate], runs: Iterable[RunRecord]) -> list[OutOfDate]:
    """Leave out what has an open run: that is where it stands then."""
    is_open = {(run.pipeline, run.scope) for run in runs if run.status in OPEN_RUN_STATUSES}
    return [one for one in found if (one.pipeline, one.scope) not in is_open]


def count_out_of_date(found: Iterable[OutOfDate]) -> dict[str, OutOfDateCount]:
    """Return the counts by pipeline; one without any is not in it."""
    counts: dict[str, OutOfDateCount] = {}
    for one in found:
        before = counts.get(one.pipeline, OutOfDateCount())
        counts[one.pipeline] = OutOfDateCount(before.coming + (not one.is_blocked), before.blocked + one.is_blocked)
    return counts


def counts_of(value: Mapping[str, Any]) -> dict[str, OutOfDateCount]:
    """Return what was kept."""
    return {
        str(name): OutOfDateCount(int(one["coming"]), int(one["blocked"]))
        for name, one in value.get("pipelines", {}).items()
    }
