"""The enums and frozen dataclasses that cross layers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

# BIDS allows '+' since 1.10, QSIPrep, QSIRecon and QSIParc do not: letters and digits only.
LABEL_PATTERN = re.compile(r"[A-Za-z0-9]+", re.ASCII)


def is_label(text: str) -> bool:
    """Tell whether `text` can be a subject or session label (without its `sub-`/`ses-`)."""
    return LABEL_PATTERN.fullmatch(text) is not None


class Level(StrEnum):
    """What one run of a pipeline covers."""

    SUBJECT = "subject"
    SESSION = "session"


class SessionStatus(StrEnum):
    """Where a session stands before any pipeline touches it."""

    SETTLING = "settling"  # files still arrive, or have not been quiet for long enough
    READY = "ready"
    INVALID = "invalid"  # a required scan is missing, or no image could be read
    EXCLUDED = "excluded"  # a person took it out


class RunStatus(StrEnum):
    """A run's life; `neuroflow.core.transitions` lists the legal moves."""

    PENDING = "pending"
    QUEUED = "queued"
    SUBMITTING = "submitting"
    SUBMITTED = "submitted"
    RUNNING = "running"
    RETRY_WAIT = "retry_wait"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED_RUN_STATUSES = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED})
OPEN_RUN_STATUSES = frozenset(RunStatus) - ENDED_RUN_STATUSES
# These hold a place under `workflow.max_concurrent`.
IN_FLIGHT_RUN_STATUSES = frozenset({RunStatus.SUBMITTING, RunStatus.SUBMITTED, RunStatus.RUNNING})


class AttemptStatus(StrEnum):
    """One execution of a run, from the row that precedes it to its verdict."""

    SUBMITTING = "submitting"
    SUBMITTED = "submitted"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


OPEN_ATTEMPT_STATUSES = frozenset({AttemptStatus.SUBMITTING, AttemptStatus.SUBMITTED, AttemptStatus.RUNNING})


class FailureClass(StrEnum):
    """Why an attempt failed; it decides what happens next."""

    OUT_OF_MEMORY = "out_of_memory"
    TIMEOUT = "timeout"
    NODE = "node"
    PREEMPTED = "preempted"
    APPLICATION = "application"
    NO_OUTPUT = "no_output"
    BAD_INPUT = "bad_input"
    SITE = "site"
    CANCELLED = "cancelled"


class WorkflowStatus(StrEnum):
    """One pass of the master workflow."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Stage(StrEnum):
    """The steps of a workflow run, in order; a site's own pipelines follow."""

    DISCOVERY = "discovery"
    BIDS_CONVERSION = "bids_conversion"
    QSIPREP = "qsiprep"
    QSIRECON = "qsirecon"
    QSIPARC = "qsiparc"


class JobState(StrEnum):
    """SLURM's words, gathered into the states that we act upon."""

    PENDING = "pending"
    RUNNING = "running"
    ENDING = "ending"
    REQUEUED = "requeued"
    SUSPENDED = "suspended"
    COMPLETED = "completed"
    FAILED = "failed"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    NODE_FAIL = "node_fail"
    PREEMPTED = "preempted"
    CANCELLED = "cancelled"
    UNRECOGNISED = "unrecognised"  # a word that our table lacks: keeps the run open
    NOT_REPORTED = "not_reported"  # a witness answered and did not name the job


class VerdictKind(StrEnum):
    """What the evidence says of an attempt."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"  # no witness knows it: kept open, and shown as such


# --- discovery -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Series:
    """One DICOM series, as its sampled headers tell."""

    uid: str
    number: int | None
    description: str
    protocol: str
    modality: str
    files: int
    images: int  # files, or frames where an enhanced multi-frame file holds many
    is_image: bool  # an image-storage SOP class: the others never reach HeudiConv
    study_uid: str = ""
    study_date: str = ""


@dataclass(frozen=True)
class FoundSession:
    """A session folder on disk, as one scan saw it."""

    subject: str
    session: str
    path: str
    fingerprint: str
    files: int
    bytes: int
    newest_mtime: float  # seconds since the epoch
    series: tuple[Series, ...] = ()
    problems: tuple[str, ...] = ()  # files that could not be read, named
    missing: tuple[str, ...] = ()  # required scans that are not there, in words


@dataclass(frozen=True)
class KnownSession:
    """What the database remembers of a session folder, so that an unchanged one is not read again."""

    path: str
    subject: str
    session: str
    fingerprint: str
    series: tuple[Series, ...]
    problems: tuple[str, ...]
    files: int
    bytes: int
    newest_mtime: float


@dataclass(frozen=True)
class ScanOutcome:
    """What one scan changed in the database."""

    found: int
    new: int
    changed: int
    settling: int
    ready: int
    invalid: int


# --- containers ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Resources:
    """A request to the cluster: cores, MiB, minutes, GPUs."""

    cpus: int
    memory_mb: int
    time_minutes: int
    gpus: int = 0


@dataclass(frozen=True)
class Bind:
    """A host path and where the container sees it."""

    source: str
    target: str
    read_only: bool = True


@dataclass(frozen=True)
class OutputRule:
    """Files that must exist, non-empty, for success: a glob relative to the run's output folder."""

    pattern: str
    min_count: int = 1


@dataclass(frozen=True)
class ContainerRun:
    """Everything needed to execute one attempt; built by an adapter, pure data."""

    pipeline: str
    runtime: str  # apptainer, singularity, docker, podman, host
    image: str | None  # None on the host
    version: str | None  # of the tool inside
    program: tuple[str, ...]  # what runs on the host; in a container the image's entry point does
    arguments: tuple[str, ...]
    binds: tuple[Bind, ...]
    environment: Mapping[str, str]
    output_dir: str  # on the host: this attempt's own, published only after success
    work_dir: str  # on the host: the run's, kept between attempts
    publish_dir: str  # on the host: the dataset that the results move into
    owned: tuple[str, ...]  # names that this run owns there, and replaces whole: see cluster.publish
    outputs: tuple[OutputRule, ...]
    crash_globs: tuple[str, ...] = ()  # relative to output_dir: a tool's own crash files
    bad_input_patterns: tuple[str, ...] = ()  # regular expressions over stderr that mean bad input
    before: tuple[tuple[str, ...], ...] = ()  # host commands of ours that run first, as argument lists
    runtime_args: tuple[str, ...] = ()
    name: str = ""  # unique, the attempt's token: docker and podman containers carry it


@dataclass(frozen=True)
class AdapterResult:
    """What an adapter answers once its run has ended."""

    success: bool
    exit_code: int | None
    output_path: str | None
    error_message: str | None
    metrics: Mapping[str, float | int | str]
    duration_seconds: float | None


# --- the cluster's witnesses -----------------------------------------------------------------


@dataclass(frozen=True)
class ExitRecord:
    """What the job itself wrote when it ended (`exit.json`)."""

    token: str
    job_id: str
    exit_code: int | None
    signal: int | None
    host: str
    started_at: float  # seconds since the epoch
    ended_at: float
    stderr_tail: str
    max_rss_mb: float | None
    crash_files: tuple[str, ...] = ()
    missing_outputs: tuple[str, ...] = ()
    published: bool = False
    error: str = ""  # our own wrapper's failure, when it is not the tool's
    restart_count: int = 0
    bad_input: str = ""  # the line of stderr in which the tool refused its input, if it did
    oom_kills: int = 0  # processes of the job that the kernel killed for memory
    stopped_by: str = ""  # SIGTERM, SIGUSR2 (time limit near), TIME_LIMIT …: what asked the job to stop, if anything
    quarantined: tuple[str, ...] = ()  # what was put aside before the tool started, as paths in the run's folder
    results_of: str = ""  # token of the earlier attempt whose interrupted publication this one finished


@dataclass(frozen=True)
class QueueRow:
    """One job as squeue (or the local process table) sees it."""

    job_id: str
    token: str
    state: JobState
    word: str  # as SLURM wrote it
    reason: str = ""
    start: str = ""  # expected or real start, as SLURM wrote it
    ended_at: float | None = None  # seconds since the epoch, of a job that has ended


@dataclass(frozen=True)
class AccountingRow:
    """One job as sacct sees it; the sizes are the largest of its steps."""

    job_id: str
    token: str
    state: JobState
    word: str
    exit_code: int | None
    signal: int | None
    max_rss_mb: float | None
    elapsed_seconds: int | None
    nodes: str = ""
    ended_at: float | None = None  # seconds since the epoch
    started_at: float | None = None
    lives: int = 1  # one more each time that SLURM has put it back into the queue; the row tells of the last


@dataclass(frozen=True)
class Sighting:
    """All that the witnesses said of one attempt in one poll."""

    queue_answered: bool
    accounting_answered: bool  # False also where the site has no accounting, or it was not asked
    queue: QueueRow | None = None
    accounting: AccountingRow | None = None
    exit_record: ExitRecord | None = None
    accounting_silent: bool = False  # it was asked, and did not answer
    job_id: str | None = None  # of the job that executes the attempt, or may yet
    all_answered: bool = False  # every witness that the site has: an attempt without a job_id has no job
    revoked: bool = False  # its claim was taken from it, and no job is left that could ask for it
    over_memory: str = ""  # the words in which SLURM's step daemon ended the job, if it had more memory than requested


@dataclass(frozen=True)
class Verdict:
    """What the evidence says of one attempt, and in which words."""

    kind: VerdictKind
    reason: str
    failure: FailureClass | None = None
    exit_code: int | None = None
    signal: int | None = None
    max_rss_mb: float | None = None
    host: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    job_id: str | None = None
    job_word: str = ""  # SLURM's own word, for people
    seen: bool = True  # False while the grace runs out: the attempt's last_seen_at must not be renewed


# --- records that StateManager hands out (times are aware, UTC) --------------------------------


@dataclass(frozen=True)
class SubjectRecord:
    """A row of `subjects`."""

    id: int
    label: str
    created_at: datetime


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
    where: str  # slurm, local or worker
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


# --- recovery ----------------------------------------------------------------------------------


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


# --- the scheduler's view ----------------------------------------------------------------------


@dataclass(frozen=True)
class Snapshot:
    """The database as the scheduler sees it, at one moment."""

    now: datetime
    sessions: tuple[SessionRecord, ...]
    runs: tuple[RunRecord, ...]  # per pipeline and scope: every open one, and the newest ended one


@dataclass(frozen=True)
class RunProposal:
    """A run that should exist."""

    pipeline: str
    level: Level
    scope: str
    subject_id: int
    session_id: int | None
    inputs_key: str
    reason: str


@dataclass(frozen=True)
class RetryDecision:
    """What happens to a run after a failed attempt, in the words of the audit log."""

    status: RunStatus  # retry_wait, failed or cancelled
    reason: str
    counted: bool
    next_attempt_at: datetime | None = None
    resources: Resources | None = None
    exclude_nodes: tuple[str, ...] = ()


# --- the site's limits -------------------------------------------------------------------------


@dataclass(frozen=True)
class PartitionLimits:
    """What a partition takes at most; None where it has no limit."""

    time_minutes: int | None = None
    memory_mb: int | None = None
    cpus: int | None = None
    nodes: int | None = None
    qos: str = ""  # the partition's own, whose limits apply to every job in it
    is_default: bool = False


@dataclass(frozen=True)
class Association:
    """What one of the user's accounts allows, in one partition or in all; None where it has no limit."""

    account: str
    partition: str = ""  # empty: all
    default_qos: str = ""
    max_submit: int | None = None  # jobs at once, waiting or running
    group_submit: int | None = None  # of everybody in the association
    time_minutes: int | None = None


@dataclass(frozen=True)
class QosLimits:
    """What a QOS allows; None where it has no limit."""

    max_submit_per_user: int | None = None
    max_submit_per_account: int | None = None
    group_submit: int | None = None
    time_minutes: int | None = None


@dataclass(frozen=True)
class Reservation:
    """Nodes that are set aside for a time."""

    name: str
    start: datetime
    end: datetime
    is_maintenance: bool
    all_nodes: bool
    partitions: tuple[str, ...] = ()  # that it takes whole
    nodes: str = ""  # as SLURM writes them


@dataclass(frozen=True)
class SiteLimits:
    """What the cluster itself says that it takes; None, too, where it did not say."""

    max_array_size: int | None = None  # one more than the highest index
    max_job_count: int | None = None  # of all users
    min_job_age_seconds: int | None = None  # how long squeue knows an ended job
    partitions: Mapping[str, PartitionLimits] | None = None
    associations: tuple[Association, ...] | None = None
    qos: Mapping[str, QosLimits] | None = None
    reservations: tuple[Reservation, ...] | None = None

    def partition_name(self, wanted: str | None) -> str | None:
        """Return the partition that a job goes to: the wanted one, or else the default one; None if not known."""
        known = self.partitions or {}
        return wanted or next((name for name, limits in known.items() if limits.is_default), None)
