"""How everything stands, counted: what a status says, and what it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from neuroflow.domain.words import RunStatus


class Standing(StrEnum):
    """How a pipeline stands for one subject or session, in the words of people."""

    DONE = "done"
    RUNNING = "running"
    QUEUED = "queued"  # its job waits in the cluster's queue
    SUBMITTING = "submitting"  # is being handed over to the cluster
    WAITING = "waiting"  # for a place, a person, or a worker
    RETRYING = "retrying"  # failed, and is tried again later
    AGAIN = "again"  # has ended, and is to be run again
    FAILED = "failed"
    CLOSED = "closed"  # failed, and a person wants nothing more done about it
    CANCELLED = "cancelled"


_OF_STATUS = {
    RunStatus.PENDING: Standing.WAITING,
    RunStatus.QUEUED: Standing.WAITING,
    RunStatus.SUBMITTING: Standing.SUBMITTING,
    RunStatus.SUBMITTED: Standing.QUEUED,
    RunStatus.RUNNING: Standing.RUNNING,
    RunStatus.RETRY_WAIT: Standing.RETRYING,
    RunStatus.COMPLETED: Standing.DONE,
    RunStatus.FAILED: Standing.FAILED,
    RunStatus.CANCELLED: Standing.CANCELLED,
}


def standing_of(status: RunStatus, *, superseded: bool, resolved: bool) -> Standing:
    """Return how a pipeline stands by the current run of a scope."""
    if superseded:
        return Standing.AGAIN
    return Standing.CLOSED if status is RunStatus.FAILED and resolved else _OF_STATUS[status]


def statuses_of(standing: Standing) -> tuple[RunStatus, ...]:
    """Return which statuses of runs alone mean a standing; none where more than the status says it."""
    return tuple(status for status, means in _OF_STATUS.items() if means is standing)


class WaitKind(StrEnum):
    """What something waits for."""

    UPSTREAM = "upstream"  # another pipeline's run
    SETTLING = "settling"  # files still arrive
    READERS = "readers"  # until its former results are no longer read
    LIMIT = "limit"  # workflow.max_concurrent
    HOLD = "hold"  # a person, who holds the pipeline or has to let it go on
    QUOTA = "quota"  # the cluster takes no more jobs
    MAINTENANCE = "maintenance"
    PARTITION = "partition"  # one that is not up
    RETRY = "retry"  # the time of the next attempt
    BLOCKED = "blocked"  # nothing brings it on by itself: what it needs failed, or was left out


@dataclass(frozen=True)
class WaitGroup:
    """Scopes of one pipeline that wait for the same thing."""

    pipeline: str
    kind: WaitKind
    reason: str  # of one of them, or what is common to all
    count: int
    examples: tuple[str, ...]  # scopes


class CellWord(StrEnum):
    """How a pipeline stands for one subject or session where its runs alone don't say it."""

    NOT_STARTED = "not_started"  # ready, without a run
    OUT_OF_DATE = "out_of_date"  # completed over inputs that have changed since


@dataclass(frozen=True)
class RunFilter:
    """Which runs are asked for; nothing: all. Labels are without `sub-` and `ses-`."""

    subjects: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    pipelines: tuple[str, ...] = ()
    standings: tuple[Standing, ...] = ()
    since: datetime | None = None  # changed at or after it
    words: tuple[CellWord, ...] = ()  # for what no run's own row says

    @property
    def narrows_scopes(self) -> bool:
        """Tell whether only some subjects or sessions are asked for."""
        return bool(self.subjects or self.sessions)

    @property
    def lists_runs(self) -> bool:
        """Tell whether single runs are asked for."""
        return self.narrows_scopes or bool(self.standings or self.words or self.since or self.pipelines)


@dataclass(frozen=True)
class StandingCount:
    """How many scopes of a pipeline stand in one way."""

    pipeline: str
    standing: Standing
    count: int


@dataclass(frozen=True)
class HourCount:
    """How many runs of a pipeline ended within one hour."""

    pipeline: str
    status: RunStatus
    hour: datetime  # its begin
    count: int


@dataclass(frozen=True)
class FailureGroup:
    """Current runs of one pipeline that failed alike, and that nobody has dealt with."""

    pipeline: str
    failure: str | None  # the class; None: refused before an attempt
    signature: str
    reason: str  # of the newest one
    count: int
    newest_run: int
    scope: str  # of the newest one


@dataclass(frozen=True)
class QueueGroup:
    """Jobs of a pipeline that wait in the cluster's queue for the same reason."""

    pipeline: str
    reason: str  # the cluster's word
    count: int


@dataclass(frozen=True)
class RunLine:
    """The current run of a pipeline and scope."""

    run: int
    pipeline: str
    subject: str
    session: str | None
    standing: Standing
    status: RunStatus
    attempts: int
    failure: str | None
    reason: str
    output: str | None
    next_attempt_at: datetime | None
    created_at: datetime
    changed_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    out_of_date: bool | None = None  # completed, over inputs that have changed since; None: nobody has looked

    @property
    def scope(self) -> str:
        """The run's scope: `sub-X` or `sub-X/ses-Y`."""
        return f"sub-{self.subject}" + ("" if self.session is None else f"/ses-{self.session}")
