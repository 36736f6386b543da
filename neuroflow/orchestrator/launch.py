"""Turn a run into an attempt: claim it, build its container command, hand it to its cluster."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path

import structlog

from neuroflow.adapters import build_run
from neuroflow.adapters.base import RunRequest
from neuroflow.adapters.runtimes import command_line
from neuroflow.adapters.runtimes.voxelops import check_available
from neuroflow.adapters.versions import tool_version
from neuroflow.adapters.voxelops import VOXELOPS
from neuroflow.cluster.base import JobRequest
from neuroflow.cluster.quarantine import OUTPUT_PREFIX
from neuroflow.config.partitions import containers_in
from neuroflow.domain import (
    AttemptRecord,
    FailureClass,
    ImageRecord,
    Level,
    Resources,
    RetryDecision,
    RunRecord,
    RunStatus,
)
from neuroflow.domain.priority import nice_of
from neuroflow.errors import (
    AdapterError,
    BadInputError,
    ClusterError,
    PlacementError,
    SubmissionRefused,
    SubmissionUncertain,
)
from neuroflow.orchestrator.images import ImageBusy, check_pin, see
from neuroflow.orchestrator.journal import journal_of, keep_copy
from neuroflow.orchestrator.nodes import excluded_nodes
from neuroflow.orchestrator.place import Place
from neuroflow.orchestrator.placement import Places, clipped
from neuroflow.orchestrator.provenance import describe_attempt, upstream_ids
from neuroflow.orchestrator.registry import Pipeline
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.signature import sign_run
from neuroflow.orchestrator.site import places, shorten

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
class Covered:
    """What a run covers: its sessions' labels, and the DICOM folder of the one of a conversion."""

    sessions: tuple[str, ...]
    source_path: str | None


@dataclass(frozen=True)
class Launcher:
    """Start runs; safe to call twice, late, or by two workers at once.

    What is known of the site is read once: make a new one for each batch.
    """

    services: Services
    known_places: Places | None = None

    @cached_property
    def places(self) -> Places:
        """Return where jobs can go."""
        return self.known_places or places(self.services)

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
        run = shorten(self.services, run, pipeline, where=self.places)
        try:
            check_pin(self.services, pipeline)
            return self.prepare(run, token=new_token(run))
        except ImageBusy as busy:
            return LaunchResult(run.id, run.status, False, str(busy))
        except (AdapterError, PlacementError) as error:
            if isinstance(error, PlacementError) and error.transient:
                return LaunchResult(run.id, run.status, False, str(error))
            return self._refuse(run, error)

    def not_claimed(self, run_id: int) -> LaunchResult:
        """Return the result for a run that another worker was faster to take, or that may not start yet."""
        now = self.services.state.get_run(run_id)
        return LaunchResult(run_id, now.status, False, "not claimed: taken by another worker, not due, or at the limit")

    def prepare(self, run: RunRecord, *, token: str, covered: Covered | None = None) -> JobRequest:
        """Build the job of a run's next attempt, without writing anything.

        Args:
            run: one that need not exist where `covered` is given.
            token: the attempt's.
            covered: what the run covers; read from the database where it is left out.

        Raises:
            AdapterError: when the configuration or the inputs don't allow it.
            PlacementError: when no partition takes it.
        """
        pipeline = self.services.registry.get(run.pipeline)
        request = self._request(run, pipeline, token, covered or self._covered(run))
        if pipeline.where == VOXELOPS:
            check_available(request.containers.voxelops_python, needs_docker=pipeline.name != "qsiparc")
        container = build_run(request)
        return JobRequest(
            token=token,
            folder=str(request.attempt_folder),
            pipeline=pipeline.name,
            scope=run.scope,
            resources=request.resources,
            exclude_nodes=self._excluded(run, pipeline, request.resources),
            command=command_line(container, scratch="@SCRATCH@"),
            run=container,
            settings=pipeline.settings,
            nice=nice_of(run.priority),
        )

    def _excluded(self, run: RunRecord, pipeline: Pipeline, resources: Resources) -> tuple[str, ...]:
        where = self.services.where(pipeline)
        nodes = self.places.nodes(pipeline, resources) if where == "slurm" else None
        return excluded_nodes(self.services, run.id, where=where, nodes=nodes)

    def _resources(self, run: RunRecord, pipeline: Pipeline) -> Resources:
        asked = run.resources or pipeline.resources
        if self.services.where(pipeline) != "slurm":
            return clipped(asked, self.services.config.cluster.limits)
        return self.places.placed(pipeline, asked)

    def _covered(self, run: RunRecord) -> Covered:
        session = self.services.state.get_session(run.session_id) if run.session_id is not None else None
        return Covered(self._sessions(run), session.path if session else None)

    def _request(self, run: RunRecord, pipeline: Pipeline, token: str, covered: Covered) -> RunRequest:
        config = self.services.config
        place = Place.of(config, where=self.services.where(pipeline))
        settings = pipeline.settings
        slug = run.scope.replace("/", "_")
        run_folder = Path(place.name(config.paths.work_root)) / pipeline.name / slug / f"run-{run.id}"
        resources = self._resources(run, pipeline)
        return RunRequest(
            run_id=run.id,
            token=token,
            pipeline=pipeline.name,
            subject=run.subject,
            session=run.session,
            sessions=covered.sessions,
            source_path=place.name(covered.source_path) if covered.source_path else None,
            resources=resources,
            settings=settings,
            image=settings.image,
            version=tool_version(pipeline.name, image=settings.image, version=settings.version),
            runtime=VOXELOPS if pipeline.where == VOXELOPS else settings.runtime or config.containers.runtime,
            paths=place.paths(),
            containers=containers_in(config.containers, config.cluster, partition=resources.partition),
            work_dir=str(run_folder / "work"),
            output_dir=str(run_folder / f"{OUTPUT_PREFIX}{token}"),
            attempt_folder=place.attempt_folder(token),
            python=place.python,
            is_remote=place.is_remote,
            ignore=config.discovery.ignore,
        )

    def _sessions(self, run: RunRecord) -> tuple[str, ...]:
        """Return the labels of the sessions that a run covers: those whose runs its inputs key names."""
        if run.level is Level.SESSION:
            return (run.session,) if run.session else ()
        ids = upstream_ids(run, depends_on=self.services.registry.get(run.pipeline).depends_on)
        sources = [self.services.state.get_run(run_id) for run_id in ids]
        return tuple(sorted(source.session for source in sources if source.session is not None))

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


def new_token(run: RunRecord) -> str:
    """Return a new attempt's unique name; it is a job name and a folder name."""
    return f"nf-{run.pipeline}-{run.id}-{secrets.token_hex(6)}"
