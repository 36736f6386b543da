"""Labels, and the words for the states of everything: enums and the sets that they fall into."""

from __future__ import annotations

import re
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
