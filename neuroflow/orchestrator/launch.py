"""Turn a run into an attempt: claim it, build its container command, hand it to its cluster."""

from __future__ import annotations

import re
import secrets
import sys
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import structlog

from neuroflow.adapters import get_adapter
from neuroflow.adapters.base import RunRequest
from neuroflow.adapters.runtimes import command_line
from neuroflow.adapters.versions import tool_version
from neuroflow.cluster.base import JobRequest
from neuroflow.cluster.quarantine import OUTPUT_PREFIX
from neuroflow.config.execution import Limits
from neuroflow.domain import (
    AttemptRecord,
    FailureClass,
    Level,
    Resources,
    RetryDecision,
    RunRecord,
    RunStatus,
)
from neuroflow.errors import AdapterError, BadInputError, ClusterError, SubmissionRefused, SubmissionUncertain
from neuroflow.orchestrator.container_record import write_container_run
from neuroflow.orchestrator.nodes import excluded_nodes
from neuroflow.orchestrator.registry import Pipeline
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.signature import sign_run
from neuroflow.orchestrator.site import limits_of, shorten
from neuroflow.sharing import make_folder

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
    """Start runs; safe to call twice, late, or by two workers at once."""

    services: Services

    def launch(self, run_id: int) -> LaunchResult:
        """Take a run from pending to submitted, or find that another worker has."""
        run = self.services.state.get_run(run_id)
        pipeline = self.services.registry.get(run.pipeline)
        job = self.ready(run)
        if isinstance(job, LaunchResult):
            return job
        attempt = self.services.state.claim_run(
            run_id,
            token=job.token,
            where=self.services.where(pipeline),
            folder=job.folder,
            resources=job.resources,
            image=job.run.image,
            limit=pipeline.max_concurrent,
        )
        if attempt is None:
            return self.not_claimed(run_id)
        return self._submit(run, attempt, job)

    def ready(self, run: RunRecord) -> JobRequest | LaunchResult:
        """Return the job of a run's next attempt, or why there can't be one now; a run without a command fails."""
        if run.status not in _LAUNCHABLE:
            return LaunchResult(run.id, run.status, False, f"the run is {run.status}")
        held = self.services.holds().get(run.pipeline)
        if held is not None:
            return LaunchResult(run.id, run.status, False, f"{run.pipeline} is held: {held}")
        run = shorten(self.services, run, self.services.registry.get(run.pipeline))
        try:
            return self.prepare(run, token=new_token(run))
        except AdapterError as error:
            return self._refuse(run, error)

    def not_claimed(self, run_id: int) -> LaunchResult:
        """Return the result for a run that another worker was faster to take, or that may not start yet."""
        now = self.services.state.get_run(run_id)
        return LaunchResult(run_id, now.status, False, "not claimed: taken by another worker, not due, or at the limit")

    def prepare(self, run: RunRecord, *, token: str) -> JobRequest:
        """Build the job of a run's next attempt, without writing anything.

        Raises:
            AdapterError: when the configuration or the inputs don't allow it.
        """
        pipeline = self.services.registry.get(run.pipeline)
        request = self._request(run, pipeline, token)
        container = get_adapter(pipeline.name).build(request)
        return JobRequest(
            token=token,
            folder=str(request.attempt_folder),
            pipeline=pipeline.name,
            scope=run.scope,
            resources=request.resources,
            exclude_nodes=excluded_nodes(self.services, run.id, pipeline),
            command=command_line(container, scratch="@SCRATCH@"),
            run=container,
            settings=pipeline.settings,
        )

    def _request(self, run: RunRecord, pipeline: Pipeline, token: str) -> RunRequest:
        config = self.services.config
        settings = pipeline.settings
        slug = run.scope.replace("/", "_")
        run_folder = config.paths.work_root / pipeline.name / slug / f"run-{run.id}"
        session = self.services.state.get_session(run.session_id) if run.session_id is not None else None
        return RunRequest(
            run_id=run.id,
            token=token,
            pipeline=pipeline.name,
            subject=run.subject,
            session=run.session,
            sessions=self._sessions(run),
            source_path=session.path if session else None,
            resources=clipped(run.resources or pipeline.resources, limits_of(self.services, pipeline)),
            settings=settings,
            image=settings.image,
            version=tool_version(pipeline.name, image=settings.image, version=settings.version),
            runtime=settings.runtime or config.containers.runtime,
            paths=config.paths,
            containers=config.containers,
            work_dir=str(run_folder / "work"),
            output_dir=str(run_folder / f"{OUTPUT_PREFIX}{token}"),
            attempt_folder=str(config.attempts_dir / token),
            python=self._python(pipeline),
            ignore=config.discovery.ignore,
        )

    def _python(self, pipeline: Pipeline) -> str:
        """Return the Python that runs our own modules where a pipeline's attempts work."""
        on_nodes = self.services.config.cluster.python if self.services.where(pipeline) == "slurm" else None
        return on_nodes or sys.executable

    def _sessions(self, run: RunRecord) -> tuple[str, ...]:
        """Return the labels of the sessions that a run covers: those whose runs its inputs key names."""
        if run.level is Level.SESSION:
            return (run.session,) if run.session else ()
        ids = [int(text) for text in re.findall(r"(?<=[:,])\d+", run.inputs_key)]
        sources = [self.services.state.get_run(run_id) for run_id in ids]
        return tuple(sorted(source.session for source in sources if source.session is not None))

    def _submit(self, run: RunRecord, attempt: AttemptRecord, job: JobRequest) -> LaunchResult:
        try:
            write_attempt_folder(job)
            job_id = self.services.cluster(attempt.where).submit(job)
        except SubmissionRefused as error:
            return self.refused(run, attempt, error)
        except SubmissionUncertain as error:
            return uncertain(attempt, error)
        except (OSError, ClusterError) as error:
            return self.refused(run, attempt, SubmissionRefused(str(error), transient=True))
        self.services.state.record_submitted(attempt.id, job_id)
        return submitted(attempt, job_id)

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

    def _refuse(self, run: RunRecord, error: AdapterError) -> LaunchResult:
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


def write_attempt_folder(job: JobRequest) -> None:
    """Make an attempt's folder, and keep in it what was to be run."""
    make_private_folder(Path(job.folder))
    write_container_run(Path(job.folder), job.run)


def new_token(run: RunRecord) -> str:
    """Return a new attempt's unique name; it is a job name and a folder name."""
    return f"nf-{run.pipeline}-{run.id}-{secrets.token_hex(6)}"


def clipped(request: Resources, limits: Limits) -> Resources:
    """Return a request that the partition's limits allow."""
    return replace(
        request,
        cpus=min(request.cpus, limits.cpus or request.cpus),
        memory_mb=min(request.memory_mb, limits.memory_mb or request.memory_mb),
        time_minutes=min(request.time_minutes, limits.time_minutes or request.time_minutes),
    )


def make_private_folder(folder: Path) -> None:
    """Make a folder of an attempt or array, as closed to other users as the one that it lies in."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    make_folder(folder)
