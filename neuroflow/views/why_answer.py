"""What `neuroflow why` answers: plain data, each part with its words for people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from neuroflow.domain import FailureClass, Resources, SessionStatus


@dataclass(frozen=True)
class Cause:
    """One thing that something waits for."""

    kind: str  # one of the words of docs/why.md
    text: str
    since: datetime | None = None
    until: datetime | None = None
    slurm_reason: str = ""  # as SLURM wrote it


@dataclass(frozen=True)
class Next:
    """What neuroflow does next, and what a person can do."""

    text: str
    at: datetime | None = None
    needs_person: bool = False  # nothing happens by itself
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class AttemptAnswer:
    """One execution of a run, and what was changed for it."""

    number: int
    status: str
    where: str
    job: str | None
    host: str
    started_at: datetime | None
    ended_at: datetime | None
    request: Resources
    counted: bool
    failure: FailureClass | None
    message: str
    signature: str  # attempts that failed alike share it
    changed: str  # against the attempt before


@dataclass(frozen=True)
class CrashFile:
    """A file in which a tool described its own failure."""

    path: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class FailureAnswer:
    """How a run failed last."""

    failure: FailureClass
    in_words: str
    message: str
    signature: str
    alike: int  # other runs that failed so
    log: str = ""
    lines: tuple[str, ...] = ()
    crash_files: tuple[CrashFile, ...] = ()
    note: str = ""  # why there are no lines, or what they point to


@dataclass(frozen=True)
class PlaceAnswer:
    """How one pipeline stands for one subject or session."""

    pipeline: str
    scope: str
    state: str  # one of the words of docs/why.md
    since: datetime | None
    run: int | None
    summary: str
    next: Next
    causes: tuple[Cause, ...] = ()
    failure: FailureAnswer | None = None
    attempts: tuple[AttemptAnswer, ...] = ()
    started_at: datetime | None = None
    ended_at: datetime | None = None
    output_path: str | None = None  # the dataset
    results: tuple[str, ...] = ()  # in that
    covers: tuple[str, ...] = ()  # the sessions of a subject's run
    former_results: int | None = None  # the completed run whose results are there until this one has ended


@dataclass(frozen=True)
class SessionAnswer:
    """How a session stands before any pipeline touches it."""

    scope: str
    status: SessionStatus
    since: datetime
    reason: str
    folder: str
    problems: tuple[str, ...]
    next: Next | None  # None for one that is ready
    folder_is_gone: bool = False  # as seen just now; behind SSH nobody looks
    problems_matter: bool = True  # it is not ready, or its conversion is due or failed


@dataclass(frozen=True)
class Life:
    """Whether neuroflow is at work, and when it does what."""

    works: bool
    last_poll: datetime | None
    next_poll: datetime | None
    next_scan: datetime | None
    next_pass: datetime | None
    notes: tuple[str, ...]  # what keeps it from its work
    steady: bool = True  # whether it is seen to run, and looks again by itself


@dataclass(frozen=True)
class Why:
    """The whole answer for one subject, one session or one run."""

    at: datetime
    subject: str
    session: str | None
    life: Life
    sessions: tuple[SessionAnswer, ...]
    pipelines: tuple[PlaceAnswer, ...]
    notes: tuple[str, ...] = ()
