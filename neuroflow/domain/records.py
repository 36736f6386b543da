"""What StateManager hands out: frozen copies of rows; times are aware, UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from neuroflow.domain.containers import Resources
from neuroflow.domain.found import Series
from neuroflow.domain.words import AttemptStatus, FailureClass, Level, RunStatus, SessionStatus, WorkflowStatus


@dataclass(frozen=True)
class SubjectRecord:
    """A row of `subjects`."""

    id: int
    label: str
    created_at: datetime
    priority: int = 0  # of runs that are opened for it


@dataclass(frozen=True)
class SessionRecord:
    """A row of `sessions` with its subject's label."""

    id: int
    subject_id: int
    subject: str
    label: str
    path: str
    status: SessionStatus
    status_reason: str
    fingerprint: str
    fingerprint_since: datetime  # when a scan first saw this fingerprint
    series: tuple[Series, ...]
    problems: tuple[str, ...]
    created_at: datetime
    updated_at: datetime

    @property
    def scope(self) -> str:
        """The run scope: `sub-X/ses-Y`."""
        return f"sub-{self.subject}/ses-{self.label}"


@dataclass(frozen=True)
class RunRecord:
    """A row of `pipeline_runs`."""

    id: int
    pipeline: str
    level: Level
    scope: str  # sub-X or sub-X/ses-Y
    subject_id: int
    session_id: int | None
    subject: str
    session: str | None
    inputs_key: str  # what it was run over: a new key means that it is out of date
    status: RunStatus
    reason: str  # why it has this status, in words
    superseded: bool  # a person, or a limit, asked for it to be run again
    attempts: int  # that count towards max_attempts
    failure: FailureClass | None
    error_message: str
    output_path: str | None
    next_attempt_at: datetime | None
    resources: Resources | None  # asked for by the next attempt, where retries raised it
    exclude_nodes: tuple[str, ...]
    metrics: Mapping[str, float | int | str]
    workflow_run_id: int | None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    signature: str = ""  # of the last failure
    resolution: str = ""  # why a person wants nothing more done about a failed run
    priority: int = 0  # runs with a higher one start first

    @classmethod
    def untouched(
        cls,
        *,
        id: int,
        pipeline: str,
        level: Level,
        scope: str,
        subject_id: int,
        session_id: int | None,
        subject: str,
        session: str | None,
        inputs_key: str,
        status: RunStatus,
        reason: str,
        superseded: bool,
        at: datetime,
    ) -> RunRecord:
        """Return a run of which no more is known than a scheduler's choice needs: nothing was attempted."""
        return cls(
            id=id,
            pipeline=pipeline,
            level=level,
            scope=scope,
            subject_id=subject_id,
            session_id=session_id,
            subject=subject,
            session=session,
            inputs_key=inputs_key,
            status=status,
            reason=reason,
            superseded=superseded,
            attempts=0,
            failure=None,
            error_message="",
            output_path=None,
            next_attempt_at=None,
            resources=None,
            exclude_nodes=(),
            metrics={},
            workflow_run_id=None,
            created_at=at,
            updated_at=at,
            started_at=None,
            ended_at=None,
        )

    @property
    def was_withdrawn(self) -> bool:
        """Tell whether it was taken back before it started: it decided nothing, and hides no run before it."""
        return self.status is RunStatus.CANCELLED and self.superseded


@dataclass(frozen=True)
class AttemptRecord:
    """A row of `attempts`."""

    id: int
    run_id: int
    pipeline: str
    scope: str
    number: int
    token: str
    status: AttemptStatus
    where: str  # slurm, local, worker or voxelops
    folder: str
    job_id: str | None
    job_word: str  # the last word that a witness had for it
    job_reason: str
    resources: Resources
    counted: bool
    failure: FailureClass | None
    message: str
    exit_code: int | None
    signal: int | None
    host: str
    max_rss_mb: float | None
    image: str | None
    created_at: datetime
    submitted_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    last_seen_at: datetime | None  # when a witness last knew it
    array_token: str | None = None  # the job name of the array that it is an element of; None: a job of its own
    array_index: int | None = None
    signature: str = ""  # of its failure: attempts that fail alike share it
    image_record_id: int | None = None  # the ImageRecord that it was submitted with
    image_version: str = ""  # of the tool, as configured or read from the image's name
    node_image: str = ""  # the SIF id that the job read on its node
    cpu_seconds: float | None = None  # of all cores together
    elapsed_seconds: float | None = None  # of the job's last life: what SLURM's time limit counts

    @property
    def job_name(self) -> str:
        """The name under which SLURM knows its job."""
        return self.array_token or self.token


@dataclass(frozen=True)
class WorkflowRunRecord:
    """A row of `workflow_runs`."""

    id: int
    status: WorkflowStatus
    stages_completed: tuple[str, ...]
    tasks_queued: int
    error: str | None
    created_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True)
class AuditRecord:
    """A row of `audit_log`: who changed what, from where to where, and why."""

    id: int
    at: datetime
    actor: str
    event: str
    entity: str  # session, run, attempt, workflow_run, pipeline
    entity_id: int | None
    before: str | None
    after: str | None
    reason: str
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class CallStatistics:
    """How often a program of SLURM's was called, how often it failed, and how long it took (s)."""

    program: str
    calls: int
    failures: int
    seconds: float
    last_seconds: float
    updated_at: datetime


@dataclass(frozen=True)
class PipelineHold:
    """Whether a pipeline is held, and since when it is so."""

    held: bool
    reason: str
    since: datetime


@dataclass(frozen=True)
class NodeFailure:
    """A node, and the run whose attempt it took down."""

    host: str
    run_id: int


@dataclass(frozen=True)
class FailureCount:
    """How often a pipeline failed in one way."""

    pipeline: str
    failure: FailureClass
    attempts: int  # that failed, without those that were cancelled
    runs: int  # of these attempts, and those that were refused before any attempt
    dead_letters: int  # runs that wait for a person now
