"""The table of sessions: where each stands, and how every pipeline stands for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from neuroflow.domain import SessionRecord, SessionStatus
from neuroflow.export.columns import Column, Value
from neuroflow.orchestrator.standing import Kind, SessionResult

SESSION_STATUSES: dict[str, str] = {
    SessionStatus.SETTLING: "Its files still arrive, or have not been quiet for long enough",
    SessionStatus.READY: "Complete, and processed",
    SessionStatus.INVALID: "A required scan is missing, or no image could be read",
    SessionStatus.EXCLUDED: "A person took it out",
}
STANDINGS: dict[str, str] = {
    Kind.CURRENT: "Done, over the present inputs",
    Kind.COMING: "Queued, running, waiting, or to be run again: results that there are will be replaced",
    Kind.BLOCKED: "Failed or cancelled, over the present inputs",
    Kind.ABSENT: "Nothing to do: excluded, invalid, disabled, or nothing came out of what it depends on",
}


@dataclass(frozen=True)
class SessionLine:
    """A session, and how every pipeline stands for it."""

    session: SessionRecord
    results: dict[str, SessionResult]


def session_columns(pipelines: Iterable[str]) -> tuple[Column[SessionLine], ...]:
    """Return the columns: those of the session, and three for each pipeline."""
    return (*_SESSION, *(column for name in pipelines for column in _pipeline_columns(name)))


_SESSION: tuple[Column[SessionLine], ...] = (
    Column("participant_id", "The subject, as in the BIDS dataset", lambda line: f"sub-{line.session.subject}"),
    Column("session_id", "The session, as in the BIDS dataset", lambda line: f"ses-{line.session.label}"),
    Column("status", "Where the session stands", lambda line: line.session.status, levels=SESSION_STATUSES),
    Column("reason", "Why it stands there, in words", lambda line: line.session.status_reason),
    Column("problems", "What a scan found wrong with it, in words", lambda line: "; ".join(line.session.problems)),
    Column("dicom_path", "The folder of its DICOM files", lambda line: line.session.path),
    Column("found_at", "When a scan first saw it", lambda line: line.session.created_at, "ISO 8601, UTC"),
    Column(
        "unchanged_since",
        "When a scan first saw its files as they are now",
        lambda line: line.session.fingerprint_since,
        "ISO 8601, UTC",
    ),
)


def _pipeline_columns(name: str) -> tuple[Column[SessionLine], ...]:
    return (
        Column(f"{name}_state", f"How {name} stands for the session", partial(_standing, name), levels=STANDINGS),
        Column(f"{name}_reason", "Why it stands so, in words", partial(_reason, name)),
        Column(f"{name}_run_id", "The run that makes it so", partial(_run_id, name)),
    )


def _standing(name: str, line: SessionLine) -> Value:
    return line.results[name].kind


def _reason(name: str, line: SessionLine) -> Value:
    return line.results[name].reason


def _run_id(name: str, line: SessionLine) -> Value:
    run = line.results[name].run
    return None if run is None else run.id
