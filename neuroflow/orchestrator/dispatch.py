"""Which open runs may be dispatched now: a pure choice, within the limits of the configuration and of the site."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from neuroflow.config.sections import Celery
from neuroflow.domain import IN_FLIGHT_RUN_STATUSES, OPEN_RUN_STATUSES, RunRecord, RunStatus, Snapshot
from neuroflow.domain.overview import WaitKind
from neuroflow.orchestrator.admission import Admission
from neuroflow.orchestrator.plan import WITHDRAWABLE, Wait
from neuroflow.orchestrator.registry import Pipeline, Registry

# A hint that got lost with Redis is sent again after this long; a second hint costs nothing.
HINT_LIFETIME = timedelta(seconds=Celery().hint_lifetime)


@dataclass(frozen=True)
class Choice:
    """Open runs that may be dispatched now, in order, and those that may not."""

    run_ids: tuple[int, ...]
    waits: tuple[Wait, ...]


def choose_dispatch(
    snapshot: Snapshot,
    registry: Registry,
    *,
    holds: Mapping[str, str],
    hint_lifetime: timedelta = HINT_LIFETIME,
    admission: Admission | None = None,
) -> Choice:
    """Pick the open runs to dispatch, within `workflow.max_concurrent` and what the site takes.

    Those with the highest priority come first, and of these the oldest.

    Args:
        holds: pipelines that are paused, with the reason.
        hint_lifetime: how long a queued run's task may lie there before it counts as lost.
        admission: what the site takes now; None: everything.
    """
    by_pipeline: dict[str, list[RunRecord]] = defaultdict(list)
    for run in snapshot.runs:
        if run.status in OPEN_RUN_STATUSES:
            by_pipeline[run.pipeline].append(run)
    chosen: list[int] = []
    waits: list[Wait] = []
    gate = _Gate(admission)
    for pipeline in registry:
        runs = sorted(by_pipeline[pipeline.name], key=lambda run: (-run.priority, run.id))
        if pipeline.name in holds:
            waits += [
                _wait(run, f"{pipeline.name} is held: {holds[pipeline.name]}", WaitKind.HOLD)
                for run in runs
                if run.status in WITHDRAWABLE
            ]
            continue
        picked, held = _within_limit(runs, pipeline, now=snapshot.now, hint_lifetime=hint_lifetime)
        taken, refused = gate.pass_through([run for run in runs if run.id in set(picked)], pipeline)
        chosen += taken
        waits += [*held, *refused]
    return Choice(tuple(chosen), tuple(waits))


@dataclass
class _Gate:
    """What the site takes, counted over all pipelines: their jobs stand in one queue."""

    admission: Admission | None
    used: int = 0

    def pass_through(self, runs: list[RunRecord], pipeline: Pipeline) -> tuple[list[int], list[Wait]]:
        """Return the runs that the site would take, and why not the others."""
        if self.admission is None:
            return [run.id for run in runs], []
        taken, waits = [], []
        room = self.admission.room(pipeline)
        for run in runs:
            found = self.admission.wait_of(run, pipeline)
            if found is None and room is not None and self.used >= room[0]:
                found = (f"the site takes no more jobs at present: {room[1]}", WaitKind.QUOTA)
            if found is not None:
                waits.append(_wait(run, *found))
                continue
            taken.append(run.id)
            self.used += room is not None
        return taken, waits


def _within_limit(
    runs: list[RunRecord], pipeline: Pipeline, *, now: datetime, hint_lifetime: timedelta
) -> tuple[list[int], list[Wait]]:
    in_flight = sum(run.status in IN_FLIGHT_RUN_STATUSES for run in runs)
    queued = [run for run in runs if run.status is RunStatus.QUEUED]
    free = pipeline.max_concurrent - in_flight - len(queued)
    picked = [run.id for run in queued if now - run.updated_at >= hint_lifetime]
    waits = []
    for run in runs:
        if run.status not in (RunStatus.PENDING, RunStatus.RETRY_WAIT):
            continue
        if run.status is RunStatus.RETRY_WAIT and run.next_attempt_at and run.next_attempt_at > now:
            reason = f"next attempt at {run.next_attempt_at:%Y-%m-%d %H:%M} UTC ({run.reason})"
            about = f"is tried again later, after a failure of class {run.failure or 'unknown'}"
            waits.append(_wait(run, reason, WaitKind.RETRY, about))
        elif free > 0:
            picked.append(run.id)
            free -= 1
        else:
            reason = f"workflow.max_concurrent.{pipeline.name} is {pipeline.max_concurrent}"
            waits.append(_wait(run, reason, WaitKind.LIMIT))
    return picked, waits


def _wait(run: RunRecord, reason: str, kind: WaitKind, about: str = "") -> Wait:
    return Wait(run.pipeline, run.scope, reason, kind, about)
