"""The tables of runs and of attempts: everything that was executed, a line each, oldest first."""

from __future__ import annotations

from datetime import datetime

from neuroflow.domain import AttemptRecord, AttemptStatus, FailureClass, Level, RunRecord, RunStatus
from neuroflow.export.columns import Column

MEGABYTES = "MiB"
_PARTICIPANT = "The subject, as in the BIDS dataset"
_SESSION = "The session, as in the BIDS dataset; n/a for a run over all sessions of a subject"
_MEMORY = "Memory that was asked for"
_LIMIT = "Time limit that was asked for"

FAILURES: dict[str, str] = {
    FailureClass.OUT_OF_MEMORY: "It needed more memory than it had asked for",
    FailureClass.TIMEOUT: "It needed more time than it had asked for",
    FailureClass.NODE: "Its node failed",
    FailureClass.PREEMPTED: "Another job took its place",
    FailureClass.APPLICATION: "The tool ended with an error",
    FailureClass.NO_OUTPUT: "The tool ended without an error, and without what it should have written",
    FailureClass.BAD_INPUT: "The tool refused its input",
    FailureClass.SITE: "The cluster or an installation on it was at fault",
    FailureClass.CANCELLED: "A person cancelled it",
}
RUN_STATUSES: dict[str, str] = {
    RunStatus.PENDING: "Wanted, and not handed to a worker yet",
    RunStatus.QUEUED: "Handed to a worker",
    RunStatus.SUBMITTING: "Being submitted",
    RunStatus.SUBMITTED: "In the cluster's queue",
    RunStatus.RUNNING: "Running",
    RunStatus.RETRY_WAIT: "Failed, and waits to be tried again",
    RunStatus.COMPLETED: "Done, with all its outputs",
    RunStatus.FAILED: "Failed, and is not tried again by itself",
    RunStatus.CANCELLED: "Cancelled by a person, or withdrawn",
}
ATTEMPT_STATUSES: dict[str, str] = {
    AttemptStatus.SUBMITTING: "Being submitted",
    AttemptStatus.SUBMITTED: "In the cluster's queue",
    AttemptStatus.RUNNING: "Running",
    AttemptStatus.SUCCEEDED: "Ended with all its outputs",
    AttemptStatus.FAILED: "Failed",
    AttemptStatus.CANCELLED: "Cancelled",
}
_LEVELS: dict[str, str] = {Level.SUBJECT: "All sessions of a subject", Level.SESSION: "One session"}

RUNS: tuple[Column[RunRecord], ...] = (
    Column("participant_id", _PARTICIPANT, lambda run: f"sub-{run.subject}"),
    Column("session_id", _SESSION, lambda run: None if run.session is None else f"ses-{run.session}"),
    Column("run_id", "The number of the run, as in `neuroflow runs show`", lambda run: run.id),
    Column("pipeline", "The pipeline", lambda run: run.pipeline),
    Column("level", "What one run of the pipeline covers", lambda run: run.level, levels=_LEVELS),
    Column("status", "Where the run stands", lambda run: run.status, levels=RUN_STATUSES),
    Column("reason", "Why it stands there, in words", lambda run: run.reason),
    Column("superseded", "Whether somebody asked for it to be run again", lambda run: run.superseded),
    Column("counted_attempts", "Attempts that count towards the limit of attempts", lambda run: run.attempts),
    Column("failure_class", "Why the last attempt failed", lambda run: run.failure, levels=FAILURES),
    Column("error_message", "What the last attempt failed with", lambda run: run.error_message),
    Column("failure_signature", "The same for attempts that fail alike", lambda run: run.signature),
    Column("resolution", "Why a person wants nothing more done about it", lambda run: run.resolution),
    Column("inputs", "The runs, or the fingerprint of the files, that it was run over", lambda run: run.inputs_key),
    Column("created_at", "When it was opened", lambda run: run.created_at, "ISO 8601, UTC"),
    Column("started_at", "When its last attempt started", lambda run: run.started_at, "ISO 8601, UTC"),
    Column("ended_at", "When it ended", lambda run: run.ended_at, "ISO 8601, UTC"),
    Column("updated_at", "When its status last changed", lambda run: run.updated_at, "ISO 8601, UTC"),
    Column("duration", "From started_at to ended_at", lambda run: _seconds(run.started_at, run.ended_at), "s"),
    Column("output_path", "The dataset that its results are in", lambda run: run.output_path),
)

ATTEMPTS: tuple[Column[AttemptRecord], ...] = (
    Column("participant_id", _PARTICIPANT, lambda attempt: attempt.scope.partition("/")[0]),
    Column("session_id", _SESSION, lambda attempt: attempt.scope.partition("/")[2]),
    Column("attempt_id", "The number of the attempt", lambda attempt: attempt.id),
    Column("run_id", "The run that it is an attempt of", lambda attempt: attempt.run_id),
    Column("pipeline", "The pipeline", lambda attempt: attempt.pipeline),
    Column("number", "Its number among the attempts of its run, from 1", lambda attempt: attempt.number),
    Column("status", "Where the attempt stands", lambda attempt: attempt.status, levels=ATTEMPT_STATUSES),
    Column("executor", "What executed it: slurm, local, worker or voxelops", lambda attempt: attempt.where),
    Column("job_id", "The scheduler's number of the job", lambda attempt: attempt.job_id),
    Column("job_state", "The last word that the scheduler had for the job", lambda attempt: attempt.job_word),
    Column("host", "The node that it ran on", lambda attempt: attempt.host),
    Column("exit_code", "The tool's exit code", lambda attempt: attempt.exit_code),
    Column("signal", "The number of the signal that ended the tool", lambda attempt: attempt.signal),
    Column("failure_class", "Why it failed", lambda attempt: attempt.failure, levels=FAILURES),
    Column("message", "What it ended with, in words", lambda attempt: attempt.message),
    Column("failure_signature", "The same for attempts that fail alike", lambda attempt: attempt.signature),
    Column("counted", "Whether it counts towards the limit of attempts", lambda attempt: attempt.counted),
    Column("requested_cpus", "Cores that were asked for", lambda attempt: attempt.resources.cpus, "cores"),
    Column("requested_memory", _MEMORY, lambda attempt: attempt.resources.memory_mb, MEGABYTES),
    Column("requested_time", _LIMIT, lambda attempt: attempt.resources.time_minutes, "min"),
    Column("requested_gpus", "GPUs that were asked for", lambda attempt: attempt.resources.gpus, "GPUs"),
    Column("peak_memory", "The most memory that it held", lambda attempt: attempt.max_rss_mb, MEGABYTES),
    Column("cpu_time", "Processor time of all its cores together", lambda attempt: attempt.cpu_seconds, "s"),
    Column("created_at", "When it was begun", lambda attempt: attempt.created_at, "ISO 8601, UTC"),
    Column("submitted_at", "When its job was submitted", lambda attempt: attempt.submitted_at, "ISO 8601, UTC"),
    Column("started_at", "When it started", lambda attempt: attempt.started_at, "ISO 8601, UTC"),
    Column("ended_at", "When it ended", lambda attempt: attempt.ended_at, "ISO 8601, UTC"),
    Column(
        "queue_time",
        "From submitted_at to started_at",
        lambda attempt: _seconds(attempt.submitted_at, attempt.started_at),
        "s",
    ),
    Column(
        "duration", "From started_at to ended_at", lambda attempt: _seconds(attempt.started_at, attempt.ended_at), "s"
    ),
    Column("image", "The container image", lambda attempt: attempt.image),
    Column("tool_version", "The tool's version", lambda attempt: attempt.image_version),
    Column("token", "The name of its folder and of its job", lambda attempt: attempt.token),
)


def _seconds(begin: datetime | None, end: datetime | None) -> int | None:
    """Return the time between, in whole seconds; none is less than nothing, though clocks differ."""
    return None if begin is None or end is None else max(round((end - begin).total_seconds()), 0)
