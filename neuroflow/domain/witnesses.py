"""What the witnesses say of an attempt, and the verdict that follows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from neuroflow.domain.words import FailureClass, JobState, VerdictKind


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
    image_id: str = ""  # the id of the SIF as the job's node saw it
    provenance: str = ""  # why the results' provenance could not be written; nothing where it was
    cpu_seconds: float | None = None  # of the tool, all cores together
    tool_ran: bool = True  # False where it only finished a publication


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
    account: str = ""
    qos: str = ""


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
    cpu_seconds: float | None = None  # all cores together
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
    cpu_seconds: float | None = None  # of all cores together
    elapsed_seconds: float | None = None  # of the job's last life; None where it did not run the tool
    seen: bool = True  # False while the grace runs out: the attempt's last_seen_at must not be renewed
