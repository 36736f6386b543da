"""How much work runs will be: as the last ones of their pipelines took, or else at most what they may ask for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from neuroflow.domain import Spent
from neuroflow.orchestrator.registry import Registry
from neuroflow.views.consequences import Following


@dataclass(frozen=True)
class Work:
    """The runs of one pipeline that follow, and what they will take."""

    pipeline: str
    runs: int
    replacing: int  # runs that replace results
    cpus: int
    hours: float  # of one run
    measured: int  # attempts that the hours were learnt from; 0: they are the time limit

    @property
    def core_hours(self) -> float:
        """All of its runs together."""
        return self.runs * self.cpus * self.hours


def estimate(following: Sequence[Following], registry: Registry, spent: Mapping[str, Spent]) -> tuple[Work, ...]:
    """Return the work of each pipeline, upstream first."""
    runs = Counter(item.pipeline for item in following)
    replacing = Counter(item.pipeline for item in following if item.replaces is not None)
    works = []
    for pipeline in registry:
        if not runs[pipeline.name]:
            continue
        known = spent.get(pipeline.name)
        works.append(
            Work(
                pipeline.name,
                runs[pipeline.name],
                replacing[pipeline.name],
                cpus=known.cpus if known else pipeline.resources.cpus,
                hours=known.hours if known else pipeline.resources.time_minutes / 60,
                measured=known.attempts if known else 0,
            )
        )
    return tuple(works)
