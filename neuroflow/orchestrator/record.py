"""Write verdicts down: what each asks for its run, many of them in one transaction."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import structlog

from neuroflow.adapters import get_adapter
from neuroflow.cluster.container_record import FILE_NAME as CONTAINER_NAME
from neuroflow.cluster.container_record import parse_container_record
from neuroflow.cluster.folders import Folders
from neuroflow.cluster.job import RECORD_NAME
from neuroflow.cluster.records import parse_exit_record
from neuroflow.config.execution import Limits
from neuroflow.core.state import Ending
from neuroflow.domain import (
    AttemptRecord,
    ContainerRun,
    ExitRecord,
    FailureClass,
    RetryDecision,
    RunRecord,
    RunStatus,
    Verdict,
    VerdictKind,
)
from neuroflow.errors import ClusterError, StateError
from neuroflow.orchestrator.place import Place
from neuroflow.orchestrator.placement import Places
from neuroflow.orchestrator.registry import Pipeline
from neuroflow.orchestrator.retry import RetryContext, decide
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.signature import code_of
from neuroflow.orchestrator.site import places

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


@dataclass(frozen=True)
class _Evidence:
    """What an ended attempt left in its folder."""

    record: ExitRecord | None
    container: ContainerRun | None
    half_published: bool  # its job ended while it published what it had checked: it left a plan, and no record


@dataclass
class Recorder:
    """Writes the verdicts of one round, which end attempts; what is the same for all of them is read once."""

    services: Services
    random: Callable[[], float] = random.random
    errors: list[str] = field(default_factory=list)  # what could not be written; the next poll judges it again

    def record(self, judged: Sequence[Judged]) -> Iterator[Ended]:
        """End attempts and move their runs; give those that no other poller ended first, as they are written."""
        for start in range(0, len(judged), ENDINGS_PER_TRANSACTION):
            batch, evidence = self._readable(judged[start : start + ENDINGS_PER_TRANSACTION])
            runs = self.services.state.get_runs([attempt.run_id for attempt, _ in batch])
            endings = [
                self._ending(attempt, verdict, runs[attempt.run_id], evidence[attempt.token])
                for attempt, verdict in batch
            ]
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

    def _readable(self, judged: Sequence[Judged]) -> tuple[list[Judged], dict[str, _Evidence]]:
        """Read what the attempts left; leave out those whose folders can't be asked for it now."""
        evidence: dict[str, _Evidence] = {}
        for where in sorted({attempt.where for attempt, _ in judged}):
            attempts = [attempt for attempt, _ in judged if attempt.where == where]
            try:
                evidence |= _evidence(self.services.cluster(where).folders, attempts)
            except ClusterError as error:
                log.warning("poll.folders_silent", where=where, attempts=len(attempts), error=str(error))
                self.errors.append(f"{where}: {error}")
        return [item for item in judged if item[0].token in evidence], evidence

    def _ending(self, attempt: AttemptRecord, verdict: Verdict, run: RunRecord, evidence: _Evidence) -> Ending:
        record, container = evidence.record, evidence.container
        adapter = get_adapter(attempt.pipeline)
        result = adapter.result(container, record) if container is not None and record is not None else None
        if result is not None and result.output_path is not None:
            place = Place.of(self.services.config, where=attempt.where)
            result = replace(result, output_path=place.names.here(result.output_path))
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
        if record is not None and record.provenance:
            hint = f"`neuroflow runs provenance {run.id} --write` writes it again"
            log.warning(
                "provenance.not_written", run_id=run.id, token=attempt.token, problem=record.provenance, hint=hint
            )
        failed = verdict.kind is VerdictKind.FAILED
        tail = record.stderr_tail if record is not None else ""
        return Ending(
            attempt.id,
            verdict,
            decision=self._decision(attempt, verdict, run, evidence) if failed else None,
            result=result,
            signature=code_of(attempt, verdict, stderr_tail=tail) if failed else "",
            node_image=node_image,
        )

    def decision(self, attempt: AttemptRecord, verdict: Verdict, run: RunRecord) -> RetryDecision:
        """Return what follows a failed attempt.

        Raises:
            ClusterError: when its folder can't be asked.
        """
        evidence = _evidence(self.services.cluster(attempt.where).folders, [attempt])
        return self._decision(attempt, verdict, run, evidence[attempt.token])

    def _decision(self, attempt: AttemptRecord, verdict: Verdict, run: RunRecord, evidence: _Evidence) -> RetryDecision:
        pipeline = self.services.registry.get(attempt.pipeline)
        return decide(
            verdict,
            RetryContext(
                run=run,
                attempt=attempt,
                policy=pipeline.retry,
                limits=self._limits(attempt, pipeline),
                now=self.services.clock(),
                random=self.random,
                half_published=evidence.half_published,
            ),
        )

    def _limits(self, attempt: AttemptRecord, pipeline: Pipeline) -> Limits:
        """Return how far the attempt's request may grow."""
        if self.services.where(pipeline) != "slurm":
            return self.services.config.cluster.limits
        return self._places.limits(pipeline, attempt.resources)

    @cached_property
    def _places(self) -> Places:
        return places(self.services)

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


def _evidence(folders: Folders, attempts: Sequence[AttemptRecord]) -> dict[str, _Evidence]:
    names = [attempt.folder for attempt in attempts]
    looks = folders.look(names, [RECORD_NAME, CONTAINER_NAME])
    publishing = folders.publishing(names)
    found = {}
    for attempt in attempts:
        files = looks[attempt.folder]
        record = parse_exit_record(files[RECORD_NAME], token=attempt.token)
        container = parse_container_record(files[CONTAINER_NAME].data)
        found[attempt.token] = _Evidence(record, container, record is None and attempt.folder in publishing)
    return found
