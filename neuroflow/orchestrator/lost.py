"""Jobs that got lost on their way to SLURM, or in it: only a revoked claim proves that one will never run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta

import structlog

from neuroflow.cluster.base import Cluster
from neuroflow.cluster.claim import FILE_NAME, job_id_in
from neuroflow.domain import (
    AttemptRecord,
    AttemptStatus,
    FailureClass,
    RetryDecision,
    RunStatus,
    Sighting,
    Verdict,
    VerdictKind,
)
from neuroflow.orchestrator.services import Services

log = structlog.get_logger(__name__)

# After sbatch's own time limit a submission can still show up in squeue or sacct this late.
SUBMISSION_SLACK_SECONDS = 30.0
# A place in the queue is not given up for a moment's confusion: so many times accounting_grace_seconds are waited.
PATIENCE_GRACES = 5


def settle_submissions(
    services: Services, cluster: Cluster, attempts: list[AttemptRecord], sightings: Mapping[str, Sighting]
) -> list[AttemptRecord]:
    """Adopt the jobs that were seen of attempts whose submission got no answer; return those with a job id."""
    submitted = [attempt for attempt in attempts if attempt.status is not AttemptStatus.SUBMITTING]
    for attempt in attempts:
        if attempt.status is not AttemptStatus.SUBMITTING:
            continue
        seen = sightings[attempt.token]
        if seen.job_id is not None:
            submitted += _adopt(services, attempt, seen.job_id)
        elif seen.all_answered and _is_overdue(services, attempt):
            submitted += _give_up(services, cluster, attempt)
    return submitted


def lost_before_it_started(
    services: Services, cluster: Cluster, attempt: AttemptRecord, verdict: Verdict, sighting: Sighting
) -> Verdict:
    """Turn *unknown* into a failure where no job has claimed the attempt's folder, and none can any more.

    A controller that crashes forgets the jobs of its last seconds, ids included. Were the job to turn up all the
    same, it would find the revoked claim and stop.
    """
    if verdict.kind is not VerdictKind.UNKNOWN or not sighting.all_answered:
        return verdict
    patience = timedelta(seconds=PATIENCE_GRACES * services.config.cluster.accounting_grace_seconds)
    last_known = attempt.last_seen_at or attempt.submitted_at or attempt.created_at
    if services.clock() - last_known < patience or not cluster.revoke(attempt):
        return verdict
    reason = f"its job is lost: {verdict.reason}; it had not started, and its claim is revoked now"
    if attempt.array_token is not None:
        reason += f" (an scancel of waiting element {attempt.array_index} of its array looks like that)"
    return replace(verdict, kind=VerdictKind.FAILED, failure=FailureClass.NODE, reason=reason, host="")


def _adopt(services: Services, attempt: AttemptRecord, job_id: str) -> Iterable[AttemptRecord]:
    if not services.state.record_submitted(attempt.id, job_id):
        return ()
    log.warning("run.adopted", run_id=attempt.run_id, token=attempt.token, job_id=job_id)
    return (services.state.get_attempt(attempt.id),)


def _is_overdue(services: Services, attempt: AttemptRecord) -> bool:
    cluster = services.config.cluster
    seconds = cluster.command_timeout_seconds + cluster.accounting_grace_seconds + SUBMISSION_SLACK_SECONDS
    if attempt.where != "slurm":
        seconds = SUBMISSION_SLACK_SECONDS  # a local process either exists or does not
    return services.clock() - attempt.created_at > timedelta(seconds=seconds)


def _give_up(services: Services, cluster: Cluster, attempt: AttemptRecord) -> Iterable[AttemptRecord]:
    """Submit anew what neither squeue nor sacct knows, unless the job itself says that it exists."""
    if not cluster.revoke(attempt):
        look = cluster.folders.look([attempt.folder], [FILE_NAME])[attempt.folder]
        job_id = job_id_in(look[FILE_NAME].data)
        return _adopt(services, attempt, job_id) if job_id else ()
    reason = "its submission was never answered, and neither squeue nor sacct knows its token"
    decision = RetryDecision(
        RunStatus.RETRY_WAIT,
        f"{reason}: submitted anew, not counted",
        counted=False,
        next_attempt_at=services.clock(),
        resources=attempt.resources,
    )
    services.state.record_submission_failed(attempt.id, reason=reason, decision=decision, failure=FailureClass.NODE)
    log.warning("run.submission_lost", run_id=attempt.run_id, token=attempt.token)
    return ()
