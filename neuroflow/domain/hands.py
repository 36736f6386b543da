"""What a person picks out, asks for, and is told: of runs and sessions that are changed by hand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from neuroflow.domain.words import FailureClass, RunStatus


@dataclass(frozen=True)
class Scopes:
    """Subjects as a whole, and single sessions, by id."""

    subjects: frozenset[int] = frozenset()
    sessions: frozenset[int] = frozenset()


@dataclass(frozen=True)
class RunFilter:
    """Which runs are meant; what is left empty narrows nothing."""

    pipeline: str | None = None
    statuses: frozenset[RunStatus] = frozenset()
    failure: FailureClass | None = None
    signature: str | None = None
    since: datetime | None = None  # changed then, or later
    subjects: tuple[str, ...] = ()  # labels
    sessions: tuple[str, ...] = ()  # labels
    scopes: Scopes | None = None


@dataclass(frozen=True)
class RerunRequest:
    """Runs that are to be run again, and of what a person said so."""

    run_ids: tuple[int, ...]
    entity: str = ""  # session or subject; empty: the runs themselves
    entity_id: int | None = None


@dataclass(frozen=True)
class Change:
    """What is about to be changed by hand, by id."""

    superseded: frozenset[int] = frozenset()  # runs that are to be run again
    cancelled: frozenset[int] = frozenset()  # runs
    excluded: frozenset[int] = frozenset()  # sessions
    included: frozenset[int] = frozenset()  # sessions


@dataclass(frozen=True)
class Spent:
    """What the last successful attempts of a pipeline took."""

    attempts: int
    hours: float  # the median
    cpus: int  # asked for by the last one
