"""Look at every open attempt once and write down what the witnesses say."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from neuroflow.adapters import get_adapter
from neuroflow.cluster.base import Cluster
from neuroflow.cluster.claim import claimed_job_id
from neuroflow.cluster.records import read_exit_record
from neuroflow.cluster.verdict import judge
from neuroflow.core.state import SeenAttempt
from neuroflow.domain import (
    AdapterResult,
    AttemptRecord,
    AttemptStatus,
    FailureClass,
    RetryDecision,
    RunStatus,
    Sighting,
    Verdict,
    VerdictKind,
)
from neuroflow.errors import ClusterError
from neuroflow.orchestrator.breaker import check_pipelines
from neuroflow.orchestrator.container_record import read_container_run
from neuroflow.orchestrator.retry import RetryContext, decide
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.signature import code_of
from neuroflow.orchestrator.site import limits_of

log = structlog.get_logger(__name__)

# After sbatch's own time limit a submission can still show up in squeue or sacct this late.
SUBMISSION_SLACK_SECONDS = 30.0


_GOING_ON = frozenset({VerdictKind.PENDING, VerdictKind.RUNNING, VerdictKind.UNKNOWN})


@dataclass(frozen=True)
class Ended:
    """An attempt that this poll saw end."""

    attempt: AttemptRecord
    verdict: Verdict
    run_status: RunStatus


@dataclass(frozen=True)
class PollReport:
    """What one poll found."""

    looked_at: int
    running: int
    unknown: int
    ended: tuple[Ended, ...]
    errors: tuple[str, ...]


@dataclass(frozen=True)
class Poller:
    """Ask each cluster once for everything in flight; safe to run twice at once."""

    services: Services
    on_ended: Callable[[Ended], None] = lambda ended: None
    random: Callable[[], float] = random.random

    def poll(self, *, leave_out: Collection[str] = ()) -> PollReport:
        """Judge every open attempt and move its run accordingly.

        Args:
            leave_out: clusters that are not asked this time.
        """
        by_where: dict[str, list[AttemptRecord]] = defaultdict(list)
        for attempt in self.services.state.open_attempts():
            if attempt.where not in leave_out:
                by_where[attempt.where].append(attempt)
        verdicts: list[tuple[AttemptRecord, Verdict]] = []
        ended: list[Ended] = []
        errors: list[str] = []
        for where, attempts in by_where.items():
            try:
                cluster = self.services.cluster(where)
                sightings = cluster.sight(attempts)
                settled = self._settle_submissions(cluster, attempts, sightings)
            except ClusterError as error:
                errors.append(f"{where}: {error}")
                log.warning("poll.no_answer", where=where, error=str(error))
                continue
            verdicts += [(attempt, self._judge(attempt, sightings[attempt.token])) for attempt in settled]
        self._record_sightings([item for item in verdicts if item[1].kind in _GOING_ON])
        for attempt, verdict in verdicts:
            done = self._record(attempt, verdict)
            if done is not None:
                ended.append(done)
                self.on_ended(done)
        check_pipelines(self.services, {done.attempt.pipeline for done in ended if done.verdict.failure is not None})
        return PollReport(
            looked_at=sum(map(len, by_where.values())),
            running=_count(verdicts, VerdictKind.RUNNING),
            unknown=_count(verdicts, VerdictKind.UNKNOWN),
            ended=tuple(ended),
            errors=tuple(errors),
        )

    def _judge(self, attempt: AttemptRecord, sighting: Sighting) -> Verdict:
        grace = self.services.config.cluster.accounting_grace_seconds
        return judge(attempt, sighting, now=self.services.clock(), grace_seconds=grace)

    def _record_sightings(self, verdicts: list[tuple[AttemptRecord, Verdict]]) -> None:
        self.services.state.record_sightings(
            [
                SeenAttempt(
                    attempt.id,
                    word=verdict.job_word,
                    reason=verdict.reason,
                    running=verdict.kind is VerdictKind.RUNNING,
                    seen=verdict.seen,
                    host=verdict.host,
                )
                for attempt, verdict in verdicts
            ]
        )

    def _record(self, attempt: AttemptRecord, verdict: Verdict) -> Ended | None:
        state = self.services.state
        if verdict.kind in _GOING_ON:
            return None
        decision = self.decision(attempt, verdict)
        result, signature = self._result(attempt, verdict), _signature(attempt, verdict)
        if not state.record_verdict(attempt.id, verdict, decision, result, signature=signature):
            return None  # another poller was first
        # Not the decision's status: a person may have cancelled the run meanwhile.
        status = state.get_run(attempt.run_id).status
        log.info(
            "run.verdict",
            run_id=attempt.run_id,
            token=attempt.token,
            job_id=attempt.job_id,
            verdict=str(verdict.kind),
            failure=str(verdict.failure) if verdict.failure else None,
            reason=verdict.reason,
            next=str(status),
        )
        if verdict.failure is FailureClass.SITE:
            self.services.hold(attempt.pipeline, reason=f"run {attempt.run_id}: {verdict.reason}")
        return Ended(attempt, verdict, status)

    def decision(self, attempt: AttemptRecord, verdict: Verdict) -> RetryDecision | None:
        """Return what follows a failed attempt; None after a success."""
        if verdict.kind is VerdictKind.SUCCEEDED:
            return None
        return decide(
            verdict,
            RetryContext(
                run=self.services.state.get_run(attempt.run_id),
                attempt=attempt,
                policy=self.services.registry.get(attempt.pipeline).retry,
                limits=limits_of(self.services, self.services.registry.get(attempt.pipeline)),
                now=self.services.clock(),
                random=self.random,
            ),
        )

    def _result(self, attempt: AttemptRecord, verdict: Verdict) -> AdapterResult | None:
        run = read_container_run(Path(attempt.folder))
        record = read_exit_record(Path(attempt.folder), token=attempt.token)
        if run is None or record is None:
            return None
        return get_adapter(attempt.pipeline).result(run, record)

    def _settle_submissions(
        self, cluster: Cluster, attempts: list[AttemptRecord], sightings: Mapping[str, Sighting]
    ) -> list[AttemptRecord]:
        """Adopt the jobs that were seen of attempts whose submission got no answer; return those with a job id."""
        submitted = [attempt for attempt in attempts if attempt.status is not AttemptStatus.SUBMITTING]
        for attempt in attempts:
            if attempt.status is not AttemptStatus.SUBMITTING:
                continue
            seen = sightings[attempt.token]
            if seen.job_id is not None:
                submitted += self._adopt(attempt, seen.job_id)
            elif seen.all_answered and self._overdue(attempt):
                submitted += self._give_up(cluster, attempt)
        return submitted

    def _adopt(self, attempt: AttemptRecord, job_id: str) -> Iterable[AttemptRecord]:
        if not self.services.state.record_submitted(attempt.id, job_id):
            return ()
        log.warning("run.adopted", run_id=attempt.run_id, token=attempt.token, job_id=job_id)
        return (self.services.state.get_attempt(attempt.id),)

    def _overdue(self, attempt: AttemptRecord) -> bool:
        cluster = self.services.config.cluster
        seconds = cluster.command_timeout_seconds + cluster.accounting_grace_seconds + SUBMISSION_SLACK_SECONDS
        if attempt.where != "slurm":
            seconds = SUBMISSION_SLACK_SECONDS  # a local process either exists or does not
        return self.services.clock() - attempt.created_at > timedelta(seconds=seconds)

    def _give_up(self, cluster: Cluster, attempt: AttemptRecord) -> Iterable[AttemptRecord]:
        """Submit anew what neither squeue nor sacct knows, unless the job itself says that it exists."""
        if not cluster.revoke(attempt):
            job_id = claimed_job_id(Path(attempt.folder))
            return self._adopt(attempt, job_id) if job_id else ()
        now = self.services.clock()
        reason = "its submission was never answered, and neither squeue nor sacct knows its token"
        decision = RetryDecision(
            RunStatus.RETRY_WAIT,
            f"{reason}: submitted anew, not counted",
            counted=False,
            next_attempt_at=now,
            resources=attempt.resources,
        )
        self.services.state.record_submission_failed(
            attempt.id, reason=reason, decision=decision, failure=FailureClass.NODE
        )
        log.warning("run.submission_lost", run_id=attempt.run_id, token=attempt.token)
        return ()


def clean_up_stale(services: Services, *, hours: float) -> Mapping[str, int]:
    """End attempts that no witness has known for `hours`; a job that merely waits in a queue is known.

    Returns:
        `{"stale_found": …, "cancelled": …}`.
    """
    stale = services.state.find_stale_runs(hours)
    cancelled = 0
    for run in stale:
        attempt = services.state.latest_attempt(run.id)
        if attempt is not None and _end_stale(services, attempt, hours=hours, now=services.clock()):
            cancelled += 1
    return {"stale_found": len(stale), "cancelled": cancelled}


def _end_stale(services: Services, attempt: AttemptRecord, *, hours: float, now: datetime) -> bool:
    cluster = services.cluster(attempt.where)
    lookup = cluster.find([attempt])
    if (
        not lookup.answered
        or attempt.token in lookup.found
        or read_exit_record(Path(attempt.folder), token=attempt.token) is not None
    ):
        return False  # known after all: the next poll judges it
    cluster.revoke(attempt)
    cluster.cancel([attempt])
    reason = f"no witness has known its job for {hours:g} hours"
    verdict = Verdict(VerdictKind.FAILED, reason, failure=FailureClass.NODE, ended_at=now, job_id=attempt.job_id)
    decision = Poller(services).decision(attempt, verdict)
    if decision is not None:
        decision = replace(decision, reason=f"stale: {reason}; {decision.status} next")
    signature = _signature(attempt, verdict)
    ended = services.state.record_verdict(attempt.id, verdict, decision, None, signature=signature)
    if ended:
        log.warning("cleanup.cancelled_stale", run_id=attempt.run_id, token=attempt.token, job_id=attempt.job_id)
    return ended


def _signature(attempt: AttemptRecord, verdict: Verdict) -> str:
    """Return the signature of a failure; nothing of a success."""
    if verdict.kind is not VerdictKind.FAILED:
        return ""
    record = read_exit_record(Path(attempt.folder), token=attempt.token)
    return code_of(attempt, verdict, stderr_tail=record.stderr_tail if record is not None else "")


def _count(verdicts: list[tuple[AttemptRecord, Verdict]], kind: VerdictKind) -> int:
    return sum(verdict.kind is kind for _, verdict in verdicts)
