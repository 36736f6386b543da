"""Sessions, runs, attempts and snapshots, built by hand: no database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TypedDict, Unpack

from neuroflow.domain import (
    AttemptRecord,
    AttemptStatus,
    Level,
    Resources,
    RunProposal,
    RunRecord,
    RunStatus,
    SessionRecord,
    SessionStatus,
    Snapshot,
)
from neuroflow.orchestrator.plan import Plan
from neuroflow.orchestrator.registry import get_registry

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RESOURCES = Resources(cpus=2, memory_mb=4_000, time_minutes=60, gpus=1)


class RunOptions(TypedDict, total=False):
    """What a test may say of a run."""

    reason: str
    superseded: bool
    attempts: int
    next_attempt_at: datetime | None
    exclude_nodes: tuple[str, ...]
    updated_at: datetime


def session(
    session_id: int,
    subject: str = "01",
    label: str = "a",
    *,
    status: SessionStatus = SessionStatus.READY,
    fingerprint: str | None = None,
) -> SessionRecord:
    """Return a session; its fingerprint is `f` and its id unless given."""
    return SessionRecord(
        id=session_id,
        subject_id=int(subject),
        subject=subject,
        label=label,
        path=f"/dicom/{subject}/{label}",
        status=status,
        status_reason="as the test wants it",
        fingerprint=fingerprint or f"f{session_id}",
        fingerprint_since=NOW,
        series=(),
        problems=(),
        created_at=NOW,
        updated_at=NOW,
    )


def run(
    run_id: int,
    pipeline: str,
    of: SessionRecord,
    key: str,
    status: RunStatus = RunStatus.COMPLETED,
    **options: Unpack[RunOptions],
) -> RunRecord:
    """Return a run of a session, or of its subject where the pipeline covers subjects."""
    level = get_registry().get(pipeline).level
    of_session = level is Level.SESSION
    return RunRecord(
        id=run_id,
        pipeline=pipeline,
        level=level,
        scope=of.scope if of_session else f"sub-{of.subject}",
        subject_id=of.subject_id,
        session_id=of.id if of_session else None,
        subject=of.subject,
        session=of.label if of_session else None,
        inputs_key=key,
        status=status,
        reason=options.get("reason", ""),
        superseded=options.get("superseded", False),
        attempts=options.get("attempts", 0),
        failure=None,
        error_message="",
        output_path=None,
        next_attempt_at=options.get("next_attempt_at"),
        resources=None,
        exclude_nodes=options.get("exclude_nodes", ()),
        metrics={},
        workflow_run_id=None,
        created_at=NOW,
        updated_at=options.get("updated_at", NOW),
        started_at=None,
        ended_at=None,
    )


def converted(run_id: int, of: SessionRecord) -> RunRecord:
    """Return a completed conversion of a session's present files."""
    return run(run_id, "bids_conversion", of, f"dicom:{of.fingerprint}")


def attempt(*, number: int = 1, resources: Resources = RESOURCES) -> AttemptRecord:
    """Return a running attempt of a qsiprep run."""
    return AttemptRecord(
        id=1,
        run_id=1,
        pipeline="qsiprep",
        scope="sub-01",
        number=number,
        token="nf-qsiprep-1-aa",
        status=AttemptStatus.RUNNING,
        where="slurm",
        folder="/state/attempts/nf-qsiprep-1-aa",
        job_id="4711",
        job_word="RUNNING",
        job_reason="",
        resources=resources,
        counted=False,
        failure=None,
        message="",
        exit_code=None,
        signal=None,
        host="node1",
        max_rss_mb=None,
        image=None,
        created_at=NOW,
        submitted_at=NOW,
        started_at=NOW,
        ended_at=None,
        last_seen_at=NOW,
    )


def snapshot(sessions: tuple[SessionRecord, ...], *runs: RunRecord) -> Snapshot:
    """Return the database as the scheduler would see it at `NOW`."""
    return Snapshot(NOW, sessions, runs)


def proposed(plan: Plan) -> set[tuple[str, str, str]]:
    """Return what a plan opens: pipeline, scope and inputs key."""
    return {(item.pipeline, item.scope, item.inputs_key) for item in plan.proposals}


def only_proposal(plan: Plan) -> RunProposal:
    """Return the one run that a plan opens."""
    (proposal,) = plan.proposals
    return proposal


def withdrawn(plan: Plan) -> set[int]:
    """Return the ids of the runs that a plan withdraws."""
    return {item.run_id for item in plan.withdrawals}


def waits(plan: Plan) -> dict[tuple[str, str], str]:
    """Return what waits in a plan, and why."""
    return {(item.pipeline, item.scope): item.reason for item in plan.waits}
