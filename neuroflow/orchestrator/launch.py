"""Turn a run into an attempt: claim it, and hand its job to its cluster."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property

import structlog

from neuroflow.cluster.base import JobRequest
from neuroflow.domain import (
    AttemptRecord,
    FailureClass,
    ImageRecord,
    RetryDecision,
    RunRecord,
    RunStatus,
)
from neuroflow.errors import (
    AdapterError,
    BadInputError,
    ClusterError,
    PlacementError,
    SubmissionRefused,
    SubmissionUncertain,
)
from neuroflow.orchestrator.attempt_job import JobBuilder, new_token
from neuroflow.orchestrator.images import ImageBusy, check_pin, see
from neuroflow.orchestrator.journal import journal_of, keep_copy
from neuroflow.orchestrator.place import Place
from neuroflow.orchestrator.provenance import describe_attempt
from neuroflow.orchestrator.registry import Pipeline
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.signature import sign_run
from neuroflow.orchestrator.site import shorten

log = structlog.get_logger(__name__)

_LAUNCHABLE = frozenset({RunStatus.PENDING, RunStatus.QUEUED, RunStatus.RETRY_WAIT})


@dataclass(frozen=True)
class LaunchResult:
    """What became of a hint: the run's status, and whether its submission is worth another try."""

    run_id: int
    status: RunStatus
    launched: bool
    message: str
    try_again: bool = False


@dataclass(frozen=True)
class Launcher:
    """Start runs; safe to call twice, late, or by two workers at once.

    What is known of the site, and of the images, is read once: make a new one for each batch.
    """

    services: Services
    # The pipelines whose image was found to be the one that they name.
    _checked: set[str] = field(default_factory=set, compare=False, repr=False)

    @cached_property
    def _jobs(self) -> JobBuilder:
        return JobBuilder(self.services)

    def launch(self, run_id: int) -> LaunchResult:
        """Take a run from pending to submitted, or find that another worker has."""
        run = self.services.state.get_run(run_id)
        job = self.ready(run)
        return job if isinstance(job, LaunchResult) else self.start(run, job)

    def start(self, run: RunRecord, job: JobRequest) -> LaunchResult:
        """Claim a run and submit its job."""
        pipeline = self.services.registry.get(run.pipeline)
        image = see(self.services, pipeline)
        job = with_image(job, image)
        attempt = self.services.state.claim_run(
            run.id,
            token=job.token,
            where=self.services.where(pipeline),
            folder=job.folder,
            resources=job.resources,
            image=job.run.image,
            limit=pipeline.max_concurrent,
            image_record_id=image.id if image is not None else None,
            image_version=job.run.version or "",
        )
        if attempt is None:
            return self.not_claimed(run.id)
        return self._submit(run, attempt, job)

    def ready(self, run: RunRecord) -> JobRequest | LaunchResult:
        """Return the job of a run's next attempt, or why there can't be one now; a run without a command fails."""
        if run.status not in _LAUNCHABLE:
            return LaunchResult(run.id, run.status, False, f"the run is {run.status}")
        held = self.services.holds().get(run.pipeline)
        if held is not None:
            return LaunchResult(run.id, run.status, False, f"{run.pipeline} is held: {held}")
        pipeline = self.services.registry.get(run.pipeline)
        run = shorten(self.services, run, pipeline, where=self._jobs.places)
        try:
            self._check_image(pipeline)
            return self._jobs.build(run, token=new_token(run))
        except ImageBusy as busy:
            return LaunchResult(run.id, run.status, False, str(busy))
        except (AdapterError, PlacementError) as error:
            if isinstance(error, PlacementError) and error.transient:
                return LaunchResult(run.id, run.status, False, str(error))
            return self._refuse(run, error)

    def _check_image(self, pipeline: Pipeline) -> None:
        if pipeline.name not in self._checked:
            check_pin(self.services, pipeline)
            self._checked.add(pipeline.name)

    def not_claimed(self, run_id: int) -> LaunchResult:
        """Return the result for a run that another worker was faster to take, or that may not start yet."""
        now = self.services.state.get_run(run_id)
        return LaunchResult(run_id, now.status, False, "not claimed: taken by another worker, not due, or at the limit")

    def _submit(self, run: RunRecord, attempt: AttemptRecord, job: JobRequest) -> LaunchResult:
        try:
            job = self.with_journal(job, run, attempt)
            job_id = self.services.cluster(attempt.where).submit(job)
        except SubmissionRefused as error:
            return self.refused(run, attempt, error)
        except SubmissionUncertain as error:
            return uncertain(attempt, error)
        except (OSError, ClusterError) as error:
            return self.refused(run, attempt, SubmissionRefused(str(error), transient=True))
        self.services.state.record_submitted(attempt.id, job_id)
        return submitted(attempt, job_id)

    def with_journal(self, job: JobRequest, run: RunRecord, attempt: AttemptRecord) -> JobRequest:
        """Note in a job which attempt of which run it is, and where its results will come from."""
        config = self.services.config
        journal = journal_of(run, attempt)
        if Place.of(config, where=attempt.where).is_remote:
            keep_copy(config.attempts_dir, attempt.token, journal)
        job = replace(job, journal=journal)
        return replace(job, provenance=describe_attempt(self.services, run, attempt, job=job))

    def refused(self, run: RunRecord, attempt: AttemptRecord, error: SubmissionRefused) -> LaunchResult:
        """End an attempt of which no job exists; its run waits, or fails where the site will never take it."""
        celery = self.services.config.celery
        if error.transient:
            wait = timedelta(seconds=min(celery.default_retry_delay * 2 ** min(attempt.number - 1, 8), 3600))
            decision = RetryDecision(
                RunStatus.RETRY_WAIT,
                f"not submitted, again in {wait.total_seconds() / 60:g} min: {error}",
                counted=False,
                next_attempt_at=self.services.clock() + wait,
                exclude_nodes=run.exclude_nodes,
            )
            failure, signature = None, ""
        else:
            text = f"{error} ({error.hint})" if error.hint else str(error)
            decision = RetryDecision(RunStatus.FAILED, f"the site refused the job: {text}", counted=False)
            failure = FailureClass.SITE
            signature = sign_run(run, failure, str(error))
            self.services.hold(run.pipeline, reason=f"the site refused run {run.id}: {text}")
        self.services.state.record_submission_failed(
            attempt.id, reason=str(error), decision=decision, failure=failure, signature=signature
        )
        log.error(
            "run.submission_refused", run_id=run.id, pipeline=run.pipeline, transient=error.transient, error=str(error)
        )
        return LaunchResult(run.id, decision.status, False, decision.reason, try_again=error.transient)

    def _refuse(self, run: RunRecord, error: AdapterError | PlacementError) -> LaunchResult:
        """End a run whose command can't be built: no job would help."""
        bad_input = isinstance(error, BadInputError)
        failure = FailureClass.BAD_INPUT if bad_input else FailureClass.SITE
        text = f"{error}. {error.hint}" if error.hint else str(error)
        if not bad_input:
            self.services.hold(run.pipeline, reason=text)
        self.services.state.move_run(
            run.id,
            expected=_LAUNCHABLE,
            to=RunStatus.FAILED,
            reason=text,
            failure=failure,
            error_message=text,
            signature=sign_run(run, failure, str(error)),
        )
        log.error("run.refused", run_id=run.id, pipeline=run.pipeline, failure=failure, error=text)
        return LaunchResult(run.id, RunStatus.FAILED, False, text)


def submitted(attempt: AttemptRecord, job_id: str) -> LaunchResult:
    """Say that a job exists, and is known."""
    log.info("run.submitted", **_named(attempt), job_id=job_id, attempt=attempt.number, where=attempt.where)
    return LaunchResult(attempt.run_id, RunStatus.SUBMITTED, True, f"submitted as job {job_id}")


def uncertain(attempt: AttemptRecord, error: SubmissionUncertain) -> LaunchResult:
    """Say that a job may exist: the attempt stays `submitting` until squeue and sacct were asked for its token."""
    log.warning("run.submission_uncertain", **_named(attempt), error=str(error))
    return LaunchResult(attempt.run_id, RunStatus.SUBMITTING, False, str(error))


def _named(attempt: AttemptRecord) -> dict[str, object]:
    return {"run_id": attempt.run_id, "pipeline": attempt.pipeline, "scope": attempt.scope, "token": attempt.token}


def with_image(job: JobRequest, image: ImageRecord | None) -> JobRequest:
    """Note in a job which image it is submitted with."""
    if image is None:
        return job
    return replace(job, run=replace(job.run, image_id=image.identity, image_digest=image.digest))
