"""Look at every open attempt once and write down what the witnesses say."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import structlog

from neuroflow.cluster.base import Cluster
from neuroflow.cluster.verdict import judge
from neuroflow.core.state import SeenAttempt
from neuroflow.domain import (
    AttemptRecord,
    AttemptStatus,
    Sighting,
    Verdict,
    VerdictKind,
)
from neuroflow.errors import ClusterError
from neuroflow.orchestrator.breaker import check_pipelines
from neuroflow.orchestrator.lost import lost_before_it_started, settle_submissions
from neuroflow.orchestrator.record import Ended, Recorder
from neuroflow.orchestrator.retire import retire_failed
from neuroflow.orchestrator.services import Services
from neuroflow.sharing import owner_of

log = structlog.get_logger(__name__)

_GOING_ON = frozenset({VerdictKind.PENDING, VerdictKind.RUNNING, VerdictKind.UNKNOWN})


@dataclass(frozen=True)
class PollReport:
    """What one poll found."""

    looked_at: int
    running: int
    unknown: int
    ended: tuple[Ended, ...]
    errors: tuple[str, ...]
    complete: bool = True  # every witness that was asked has answered


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
        complete = True
        for where, attempts in by_where.items():
            try:
                cluster = self.services.cluster(where)
                sightings = cluster.sight(attempts)
                complete &= all(item.queue_answered and not item.accounting_silent for item in sightings.values())
                settled = settle_submissions(self.services, cluster, attempts, sightings)
                judged = [(item, self._judge(cluster, item, sightings[item.token])) for item in settled]
            except ClusterError as error:
                errors.append(f"{where}: {error}")
                log.warning("poll.no_answer", where=where, error=str(error))
                continue
            errors += self._end_cancelled(cluster, judged)
            retired = retire_failed(self.services, cluster, judged, sightings)
            verdicts += retired.verdicts
            errors += [f"{where}: {error}" for error in retired.errors]
        self._record_sightings([item for item in verdicts if item[1].kind in _GOING_ON])
        recorder = Recorder(self.services, self.random)
        for done in recorder.record([item for item in verdicts if item[1].kind not in _GOING_ON]):
            ended.append(done)
            self.on_ended(done)
        errors += recorder.errors
        check_pipelines(self.services, {done.attempt.pipeline for done in ended if done.verdict.failure is not None})
        return PollReport(
            looked_at=sum(map(len, by_where.values())),
            running=_count(verdicts, VerdictKind.RUNNING),
            unknown=_count(verdicts, VerdictKind.UNKNOWN),
            ended=tuple(ended),
            errors=tuple(errors),
            complete=complete and not errors,
        )

    def _judge(self, cluster: Cluster, attempt: AttemptRecord, sighting: Sighting) -> Verdict:
        grace = self.services.config.cluster.accounting_grace_seconds
        verdict = judge(attempt, sighting, now=self.services.clock(), grace_seconds=grace)
        return lost_before_it_started(self.services, cluster, attempt, verdict, sighting)

    def _end_cancelled(self, cluster: Cluster, judged: list[tuple[AttemptRecord, Verdict]]) -> list[str]:
        """End jobs of cancelled runs that go on: another member of the group, who could not end them, cancelled."""
        if self.services.config.paths.group is None:
            return []
        going_on = [item for item, verdict in judged if verdict.kind in (VerdictKind.PENDING, VerdictKind.RUNNING)]
        cancelled = self.services.state.attempts_of_cancelled_runs() if going_on else frozenset()
        ours = [item for item in going_on if item.id in cancelled and owner_of(Path(item.folder)) is None]
        if not ours:
            return []
        try:
            cluster.cancel(ours)
        except ClusterError as error:
            return [f"jobs of cancelled runs could not be ended: {error}"]
        return []

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
                    # Silence leaves a running attempt running: only squeue's own word makes it pending.
                    requeued=attempt.status is AttemptStatus.RUNNING and verdict.kind is VerdictKind.PENDING,
                )
                for attempt, verdict in verdicts
            ]
        )


def _count(verdicts: list[tuple[AttemptRecord, Verdict]], kind: VerdictKind) -> int:
    return sum(verdict.kind is kind for _, verdict in verdicts)
