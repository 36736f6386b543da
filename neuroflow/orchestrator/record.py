"""Write verdicts down: what each asks for its run, many of them in one transaction."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from neuroflow.adapters import get_adapter
from neuroflow.cluster.publish import has_begun
from neuroflow.cluster.records import read_exit_record
from neuroflow.config.execution import Limits
from neuroflow.core.state import Ending
from neuroflow.domain import AttemptRecord, FailureClass, RetryDecision, RunRecord, RunStatus, Verdict, VerdictKind
from neuroflow.errors import StateError
from neuroflow.orchestrator.container_record import read_container_run
from neuroflow.orchestrator.retry import RetryContext, decide
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.signature import code_of
from neuroflow.orchestrator.site import limits_of

log = structlog.get_logger(__name__)

# So many share a transaction: others have to write as well.
ENDINGS_PER_TRANSACTION = 100

Judged = tuple[AttemptRecord, Verdict]


@dataclass(frozen=True)
class Ended:
    """An attempt that this poll saw end."""

    attempt: AttemptRecord
    verdict: Verdict
    run_status: RunStatus


@dataclass
class Recorder:
    """Writes the verdicts of one round, which end attempts; what is the same for all of them is read once."""

    services: Services
    random: Callable[[], float] = random.random
    errors: list[str] = field(default_factory=list)  # what could not be written; the next poll judges it again
    _limits: dict[str, Limits] = field(default_factory=dict)

    def record(self, judged: Sequence[Judged]) -> Iterator[Ended]:
        """End attempts and move their runs; give those that no other poller ended first, as they are written."""
        for start in range(0, len(judged), ENDINGS_PER_TRANSACTION):
            batch = judged[start : start + ENDINGS_PER_TRANSACTION]
            runs = self.services.state.get_runs([attempt.run_id for attempt, _ in batch])
            endings = [self._ending(attempt, verdict, runs[attempt.run_id]) for attempt, verdict in batch]
            statuses = self._write(endings)
            for attempt, verdict in batch:
                if attempt.id in statuses:
                    yield self._ended(attempt, verdict, statuses[attempt.id])

    def _write(self, endings: Sequence[Ending]) -> dict[int, RunStatus]:
        try:
            return self.services.state.record_verdicts(endings)
        except StateError as error:
            log.warning("poll.not_written_together", attempts=len(endings), error=str(error))
        statuses: dict[int, RunStatus] = {}
        for ending in endings:  # one that can't be written must not keep the others open
            try:
                statuses |= self.services.state.record_verdicts([ending])
            except StateError as error:
                log.error("poll.not_written", attempt=ending.attempt_id, error=str(error))
                self.errors.append(f"attempt {ending.attempt_id}: {error}")
        return statuses

    def _ending(self, attempt: AttemptRecord, verdict: Verdict, run: RunRecord) -> Ending:
        folder = Path(attempt.folder)
        record = read_exit_record(folder, token=attempt.token)
        container = read_container_run(folder) if record is not None else None
        adapter = get_adapter(attempt.pipeline)
        result = adapter.result(container, record) if container is not None and record is not None else None
        node_image = record.image_id if record is not None else ""
        if container is not None and node_image and container.image_id not in ("", node_image):
            log.warning(
                "image.other_on_node",
                token=attempt.token,
                image=container.image,
                submitted_with=container.image_id,
                seen=node_image,
                host=verdict.host,
            )
        failed = verdict.kind is VerdictKind.FAILED
        tail = record.stderr_tail if record is not None else ""
        return Ending(
            attempt.id,
            verdict,
            decision=self.decision(attempt, verdict, run) if failed else None,
            result=result,
            signature=code_of(attempt, verdict, stderr_tail=tail) if failed else "",
            node_image=node_image,
        )

    def decision(self, attempt: AttemptRecord, verdict: Verdict, run: RunRecord) -> RetryDecision:
        """Return what follows a failed attempt."""
        pipeline = self.services.registry.get(attempt.pipeline)
        if pipeline.name not in self._limits:
            self._limits[pipeline.name] = limits_of(self.services, pipeline)
        return decide(
            verdict,
            RetryContext(
                run=run,
                attempt=attempt,
                policy=pipeline.retry,
                limits=self._limits[pipeline.name],
                now=self.services.clock(),
                random=self.random,
                half_published=_is_half_published(attempt),
            ),
        )

    def _ended(self, attempt: AttemptRecord, verdict: Verdict, status: RunStatus) -> Ended:
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


def _is_half_published(attempt: AttemptRecord) -> bool:
    """Tell whether a job ended while it published what it had checked: it left a plan, and no record."""
    folder = Path(attempt.folder)
    return has_begun(folder) and read_exit_record(folder, token=attempt.token) is None
