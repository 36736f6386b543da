"""What failed alike: groups by signature, how many of each, and the telling lines of one log."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from neuroflow.domain import OPEN_RUN_STATUSES, AttemptStatus, RunStatus
from neuroflow.domain.history import AttemptFact, History, RunFact
from neuroflow.errors import ClusterError
from neuroflow.views.log_ends import LogEnd, log_ends

if TYPE_CHECKING:
    from neuroflow.orchestrator.services import Services

MOST_GROUPS = 200
_WITH_LINES = 20  # groups whose log is looked at


@dataclass
class Group:
    """Failures of a pipeline that look alike."""

    signature: str
    pipeline: str
    failure: str
    attempts: int = 0
    runs: set[int] = field(default_factory=set)
    waiting: list[int] = field(default_factory=list)  # run ids, for a person
    under_way: set[int] = field(default_factory=set)  # runs that are tried again
    first_at: datetime | None = None
    last_at: datetime | None = None
    example: str = ""
    example_run: int = 0
    example_attempt: AttemptFact | None = None

    def add(self, run: RunFact, *, message: str, at: datetime | None, attempt: AttemptFact | None) -> None:
        """Count one more; the last one to end is the example."""
        self.attempts += attempt is not None
        self.runs.add(run.id)
        if run.status in OPEN_RUN_STATUSES:
            self.under_way.add(run.id)
        if at is None:
            return
        self.first_at = at if self.first_at is None else min(self.first_at, at)
        if self.last_at is None or at >= self.last_at:
            self.last_at = at
            self.example, self.example_run, self.example_attempt = message, run.id, attempt


def failure_groups(history: History, *, waiting: frozenset[int], since: datetime | None) -> list[Group]:
    """Group what failed since then, and whatever waits for a person; the largest need comes first.

    Args:
        waiting: the runs that wait for a person.
    """
    runs = {run.id: run for run in history.runs}
    groups: dict[tuple[str, str, str], Group] = {}

    def group_of(run: RunFact, signature: str, failure: str) -> Group:
        key = (signature, run.pipeline, failure)
        return groups.setdefault(key, Group(*key))

    with_attempts = set()
    for attempt in history.attempts:
        run = runs.get(attempt.run_id)
        if attempt.status is not AttemptStatus.FAILED or run is None:
            continue
        with_attempts.add(run.id)
        if _counts(run, attempt.ended_at, waiting, since):
            group = group_of(run, attempt.signature, attempt.failure or "")
            group.add(run, message=attempt.message, at=attempt.ended_at, attempt=attempt)
    for run in history.runs:
        if run.status is not RunStatus.FAILED or not _counts(run, run.ended_at, waiting, since):
            continue
        group = group_of(run, run.signature, run.failure or "")
        if run.id not in with_attempts:  # it was refused before any attempt
            group.add(run, message=run.error or run.reason, at=run.ended_at, attempt=None)
        if run.id in waiting:
            group.waiting.append(run.id)
    return sorted(groups.values(), key=lambda one: (-len(one.waiting), -len(one.runs), one.signature))


def _counts(run: RunFact, at: datetime | None, waiting: frozenset[int], since: datetime | None) -> bool:
    return run.id in waiting or since is None or (at is not None and at >= since)


def example_lines(services: Services, groups: Iterable[Group]) -> dict[tuple[str, str, str], tuple[str, ...]]:
    """Return the last lines of one log of each of the first groups; none where it is gone or another user's."""
    looked_at = [group for group in groups if group.example_attempt is not None][:_WITH_LINES]
    wanted: dict[str, list[str]] = {}
    for group in looked_at:
        if group.example_attempt is not None:
            wanted.setdefault(group.example_attempt.where, []).append(group.example_attempt.folder)
    ends: dict[str, LogEnd] = {}
    for where, attempts in wanted.items():
        with suppress(ClusterError, OSError):  # a login node that is away: the report is made all the same
            ends |= log_ends(services.folders(where), attempts)
    return {
        (one.signature, one.pipeline, one.failure): ends.get(one.example_attempt.folder, LogEnd()).lines
        for one in looked_at
        if one.example_attempt is not None
    }
