"""Before a failed attempt's run goes on, make sure that the attempt is dead, and that no publication is cut short."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

import structlog

from neuroflow.cluster.base import Cluster
from neuroflow.cluster.fence import fence
from neuroflow.cluster.verdict import record_of_last_life
from neuroflow.domain import AttemptRecord, FailureClass, JobState, Sighting, Verdict, VerdictKind
from neuroflow.errors import ClusterError
from neuroflow.orchestrator.services import Services

log = structlog.get_logger(__name__)

Judged = tuple[AttemptRecord, Verdict]

# SLURM may start such a job again under its old id, or its node may go on with it unseen.
_MAY_COME_BACK = frozenset({FailureClass.NODE, FailureClass.PREEMPTED, FailureClass.TIMEOUT, FailureClass.CANCELLED})
_WAITING = (JobState.PENDING, JobState.REQUEUED)
# Longer than the results of a subject take to copy. A rename takes no time.
PUBLICATION_HOURS = 1.0


@dataclass(frozen=True)
class Retired:
    """The verdicts that hold now, and why others have to wait for the next poll."""

    verdicts: list[Judged]
    errors: tuple[str, ...] = ()


def retire_failed(
    services: Services, cluster: Cluster, judged: Sequence[Judged], sightings: Mapping[str, Sighting]
) -> Retired:
    """Fence what has failed, and end the jobs that may work on or come back, before any verdict is recorded.

    What failed and left a record is fenced too: `scontrol requeue` takes jobs that have ended.
    """
    judged = _unless_publishing(services, cluster, judged, sightings)
    failed = [item for item in judged if item[1].kind is VerdictKind.FAILED]
    doubtful = [item[0] for item in failed if _may_come_back(item[1], sightings[item[0].token])]
    ended = [item[0] for item in failed if item[0] not in doubtful]
    put_off: set[str] = set()
    errors = []
    for attempts, make_sure in ((ended, partial(fence, folders=cluster.folders)), (doubtful, cluster.retire)):
        problem = _problem(make_sure, attempts)
        if problem:
            errors.append(problem)
            put_off.update(attempt.token for attempt in attempts)
    _problem(cluster.retire, [item[0] for item in judged if _waits_for_nothing(item[1], sightings[item[0].token])])
    # Once more: a job that began to publish before it could see its fence goes on to the end.
    judged = _unless_publishing(services, cluster, judged, sightings)
    return Retired([item for item in judged if item[0].token not in put_off], tuple(errors))


def _waits_for_nothing(verdict: Verdict, sighting: Sighting) -> bool:
    """Tell whether SLURM put a job back into its queue whose results are published: it would fill a place there."""
    row = sighting.queue
    return verdict.kind is VerdictKind.SUCCEEDED and row is not None and row.state in _WAITING


def _problem(make_sure: Callable[[Sequence[AttemptRecord]], None], attempts: Sequence[AttemptRecord]) -> str:
    if not attempts:
        return ""
    try:
        make_sure(attempts)
    except ClusterError as error:
        tokens = [attempt.token for attempt in attempts]
        log.warning("poll.not_retired", tokens=tokens, error=str(error))
        return f"verdicts put off until the jobs are surely dead: {len(tokens)}; {error}"
    return ""


def _may_come_back(verdict: Verdict, sighting: Sighting) -> bool:
    return verdict.failure in _MAY_COME_BACK or record_of_last_life(sighting) is None


def _unless_publishing(
    services: Services, cluster: Cluster, judged: Sequence[Judged], sightings: Mapping[str, Sighting]
) -> list[Judged]:
    """Keep attempts open that SLURM lost sight of while they published: their jobs may be at it still.

    Where SLURM killed the job, or the hour is over, the run's next attempt finishes the publication.
    """
    lost = [item[0].folder for item in judged if _is_lately_lost(services, item, sightings[item[0].token])]
    try:
        publishing = cluster.folders.publishing(lost) if lost else frozenset()
    except ClusterError as error:  # they may be publishing, for all that can be known
        log.warning("poll.publications_unknown", folders=lost, error=str(error))
        publishing = frozenset(lost)
    return [_kept_open(item) if item[0].folder in publishing else item for item in judged]


def _is_lately_lost(services: Services, item: Judged, sighting: Sighting) -> bool:
    attempt, verdict = item
    if verdict.failure is not FailureClass.NODE or record_of_last_life(sighting) is not None:
        return False
    last_known = attempt.last_seen_at or attempt.submitted_at or attempt.created_at
    return services.clock() - last_known < timedelta(hours=PUBLICATION_HOURS)


def _kept_open(item: Judged) -> Judged:
    attempt, verdict = item
    reason = f"it was publishing its results when SLURM lost it, and may be at it still: {verdict.reason}"
    return attempt, replace(verdict, kind=VerdictKind.RUNNING, failure=None, reason=reason, seen=False)
