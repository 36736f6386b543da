"""Sessions, proposals and verdicts as tests need them."""

from __future__ import annotations

import itertools

from neuroflow.core.state import StateManager
from neuroflow.domain import (
    AttemptRecord,
    FailureClass,
    FoundSession,
    Level,
    Resources,
    RetryDecision,
    RunProposal,
    RunRecord,
    RunStatus,
    Series,
    SessionRecord,
    Verdict,
    VerdictKind,
)

RESOURCES = Resources(cpus=2, memory_mb=4_000, time_minutes=60, gpus=1)
_TOKENS = itertools.count(1)


def found(
    subject: str = "01",
    session: str = "a",
    *,
    path: str | None = None,
    fingerprint: str = "f1",
    series: tuple[Series, ...] = (),
    problems: tuple[str, ...] = (),
    missing: tuple[str, ...] = (),
) -> FoundSession:
    """Return a session folder as a scan would."""
    return FoundSession(
        subject=subject,
        session=session,
        path=path or f"/dicom/{subject}/{session}",
        fingerprint=fingerprint,
        files=12,
        bytes=5_000_000_000,
        newest_mtime=1_772_000_000.25,
        series=series,
        problems=problems,
        missing=missing,
    )


def add_session(state: StateManager, subject: str = "01", session: str = "a") -> SessionRecord:
    """Let a scan find a session that is ready at once."""
    state.record_scan([found(subject, session)], settle_minutes=0)
    record = state.find_session(subject, session)
    assert record is not None
    return record


def proposal(session: SessionRecord, pipeline: str = "bids_conversion", *, key: str = "k1") -> RunProposal:
    """Propose a run at session level."""
    return RunProposal(
        pipeline, Level.SESSION, session.scope, session.subject_id, session.id, inputs_key=key, reason="first run"
    )


def open_run(
    state: StateManager, session: SessionRecord, pipeline: str = "bids_conversion", *, key: str = "k1"
) -> RunRecord:
    """Open a run that must not be open yet."""
    run = state.open_run(proposal(session, pipeline, key=key))
    assert run is not None
    return run


def try_claim(state: StateManager, run_id: int, *, limit: int = 10) -> AttemptRecord | None:
    """Claim a run with a new token."""
    token = f"nf-{run_id}-{next(_TOKENS)}"
    return state.claim_run(
        run_id,
        token=token,
        where="slurm",
        folder=f"/state/attempts/{token}",
        resources=RESOURCES,
        image="/images/app.sif",
        limit=limit,
    )


def claim(state: StateManager, run_id: int) -> AttemptRecord:
    """Claim a run that must be there to take."""
    attempt = try_claim(state, run_id)
    assert attempt is not None
    return attempt


def submit(state: StateManager, run_id: int, job_id: str = "4711") -> AttemptRecord:
    """Claim a run and store its job id."""
    attempt = claim(state, run_id)
    assert state.record_submitted(attempt.id, job_id)
    return state.get_attempt(attempt.id)


SUCCESS = Verdict(VerdictKind.SUCCEEDED, "exit code 0, all outputs are there", exit_code=0, job_word="COMPLETED")
FAILURE = Verdict(VerdictKind.FAILED, "exit code 1", failure=FailureClass.APPLICATION, exit_code=1, job_word="FAILED")
GIVE_UP = RetryDecision(RunStatus.FAILED, "given up", counted=True)


def end_run(state: StateManager, run_id: int, *, success: bool = True) -> None:
    """Take a waiting run to completed or failed."""
    attempt = submit(state, run_id)
    assert state.record_verdict(attempt.id, SUCCESS if success else FAILURE, None if success else GIVE_UP, None)
