"""How one session stands with one pipeline, in the words, letters and order that the page uses."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from neuroflow.domain import OPEN_RUN_STATUSES, RunStatus, SessionStatus
from neuroflow.domain.history import RunFact, SessionFact
from neuroflow.orchestrator.standing import Kind
from neuroflow.report.judgement import Verdict


class CellState(StrEnum):
    """A cell of the cohort matrix, by the letter that stands for it in the page's data; the worst first."""

    FAILED = "F"
    INVALID = "I"
    BLOCKED = "B"
    RETRYING = "T"
    CANCELLED = "X"
    CLOSED = "S"
    EXCLUDED = "E"
    SETTLING = "L"
    OUT_OF_DATE = "O"
    NOT_YET = "N"
    DUE = "D"
    PENDING = "P"
    QUEUED = "Q"
    RUNNING = "R"
    COMPLETED = "C"


@dataclass(frozen=True)
class StateWords:
    """What a state is called, and what it means."""

    state: CellState
    word: str
    meaning: str

    @property
    def name(self) -> str:
        """The name of its symbol and colour in the page."""
        return self.state.name.lower().replace("_", "-")


WORDS: tuple[StateWords, ...] = (
    StateWords(CellState.FAILED, "failed", "failed for good, and waits for a person"),
    StateWords(CellState.INVALID, "invalid", "the session lacks a required scan, or can't be read"),
    StateWords(
        CellState.BLOCKED,
        "blocked",
        "waits for a pipeline before it that has not come through; what it left earlier is out of date",
    ),
    StateWords(CellState.RETRYING, "retrying", "failed, and is tried again after a while"),
    StateWords(CellState.CANCELLED, "cancelled", "a person or a limit ended it"),
    StateWords(CellState.CLOSED, "closed", "failed, and a person wants nothing more done about it"),
    StateWords(CellState.EXCLUDED, "excluded", "a person took the session out"),
    StateWords(CellState.SETTLING, "settling", "files of the session still arrive"),
    StateWords(
        CellState.OUT_OF_DATE,
        "out of date",
        "came through, but its inputs have changed or are made anew; it follows by itself",
    ),
    StateWords(CellState.NOT_YET, "not yet", "its turn has not come"),
    StateWords(CellState.DUE, "due", "is to be run again"),
    StateWords(CellState.PENDING, "pending", "opened, and not submitted yet"),
    StateWords(CellState.QUEUED, "queued", "its job waits in the cluster's queue"),
    StateWords(CellState.RUNNING, "running", "its job works"),
    StateWords(CellState.COMPLETED, "completed", "all its outputs are there, made from the present inputs"),
)

_OF_RUNS = {
    RunStatus.PENDING: CellState.PENDING,
    RunStatus.QUEUED: CellState.PENDING,
    RunStatus.SUBMITTING: CellState.QUEUED,
    RunStatus.SUBMITTED: CellState.QUEUED,
    RunStatus.RUNNING: CellState.RUNNING,
    RunStatus.RETRY_WAIT: CellState.RETRYING,
    RunStatus.COMPLETED: CellState.COMPLETED,
    RunStatus.FAILED: CellState.FAILED,
    RunStatus.CANCELLED: CellState.CANCELLED,
}
_OF_SESSIONS = {
    SessionStatus.SETTLING: CellState.SETTLING,
    SessionStatus.INVALID: CellState.INVALID,
    SessionStatus.EXCLUDED: CellState.EXCLUDED,
}
OF_SESSIONS = frozenset(_OF_SESSIONS.values())
# What nothing can follow until a person does something.
_STOPS = frozenset(
    {CellState.FAILED, CellState.CANCELLED, CellState.CLOSED, CellState.BLOCKED, CellState.INVALID, CellState.EXCLUDED}
)


def state_of(
    session: SessionFact, run: RunFact | None, *, verdict: Verdict | None, upstream: tuple[CellState, ...]
) -> CellState:
    """Return how a session stands with a pipeline.

    Args:
        run: the newest one of the pipeline and scope.
        verdict: what the scheduler says; None where it has nothing to say.
        upstream: the states of the pipelines that it depends on.
    """
    if run is None:
        return _without_run(session, verdict, upstream)
    if verdict is None or run.status in OPEN_RUN_STATUSES:
        return _of_run(run)
    if verdict.kind in (Kind.CURRENT, Kind.BLOCKED):
        return _of_run(run)
    if session.status in _OF_SESSIONS:
        return _OF_SESSIONS[session.status]
    if verdict.kind is Kind.ABSENT:
        return CellState.BLOCKED
    return CellState.OUT_OF_DATE if run.status is RunStatus.COMPLETED and not run.superseded else CellState.DUE


def _of_run(run: RunFact) -> CellState:
    if run.superseded:
        return CellState.DUE
    if run.status is RunStatus.FAILED and run.resolution:
        return CellState.CLOSED
    return _OF_RUNS[run.status]


def _without_run(session: SessionFact, verdict: Verdict | None, upstream: tuple[CellState, ...]) -> CellState:
    if session.status in _OF_SESSIONS:
        return _OF_SESSIONS[session.status]
    if verdict is not None:
        return CellState.BLOCKED if verdict.kind is Kind.ABSENT else CellState.NOT_YET
    return CellState.BLOCKED if _STOPS.intersection(upstream) else CellState.NOT_YET
