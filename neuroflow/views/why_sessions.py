"""How sessions stand before any pipeline: files that still arrive, what is missing, and who took one out."""

from __future__ import annotations

from datetime import datetime, timedelta

from neuroflow.domain import SessionRecord, SessionStatus
from neuroflow.views.why_answer import Next, SessionAnswer
from neuroflow.views.why_facts import Facts
from neuroflow.views.why_said import when_it_runs
from neuroflow.views.why_words import moment, short

# The states of a conversion in which what a scan could not read may be the reason.
BEFORE_CONVERSION = frozenset({"failed", "due", "retrying", "pending"})


def session_answer(session: SessionRecord, facts: Facts, *, conversion: str | None = None) -> SessionAnswer:
    """Say how a session stands.

    Args:
        conversion: the state of the pipeline that reads its files.
    """
    is_ready = session.status is SessionStatus.READY
    return SessionAnswer(
        scope=session.scope,
        status=session.status,
        since=_since(session),
        reason=session.status_reason,
        folder=session.path,
        problems=session.problems,
        next=session_next(session, facts),
        folder_is_gone=session.scope in facts.gone_folders,
        problems_matter=not is_ready or conversion in BEFORE_CONVERSION,
    )


def session_clause(session: SessionRecord, facts: Facts) -> str:
    """Say why nothing can begin with a session."""
    if session.status is SessionStatus.SETTLING:
        return f"is not quiet yet: its files have to stay as they are until {moment(_quiet_at(session, facts))}"
    if session.status is SessionStatus.EXCLUDED:
        return f"is excluded: {_excluded(session, facts)}"
    return f"is {session.status}: {short(session.status_reason)}"


def session_next(session: SessionRecord, facts: Facts) -> Next | None:
    """Return what brings a session on; None for one that is ready."""
    labels = f"{session.subject} {session.label}"
    if session.status is SessionStatus.READY:
        return None
    if session.status is SessionStatus.EXCLUDED:
        text = "nothing, until a person takes it back in"
        return Next(text, needs_person=True, commands=(f"neuroflow session include {labels}",))
    if session.status is SessionStatus.INVALID:
        text = "nothing, until its files are mended, which the next scan sees, or a person takes it out"
        show, exclude = f"neuroflow session show {labels}", f'neuroflow session exclude {labels} --reason "..."'
        return Next(text, at=facts.life.next_scan, needs_person=True, commands=(show, "neuroflow scan", exclude))
    if not facts.life.steady:
        return when_it_runs(facts, "scans it", at=max(_quiet_at(session, facts), facts.snapshot.now))
    due = _scan_after(session, facts)
    return Next(f"the scan at {moment(due)} finds it quiet, unless its files change before", at=due)


def _since(session: SessionRecord) -> datetime:
    return session.fingerprint_since if session.status is SessionStatus.SETTLING else session.updated_at


def _quiet_at(session: SessionRecord, facts: Facts) -> datetime:
    return session.fingerprint_since + timedelta(minutes=facts.services.config.discovery.settle_minutes)


def _scan_after(session: SessionRecord, facts: Facts) -> datetime:
    """Return when beat scans first after a session has been quiet for long enough: at a full hour."""
    quiet = max(_quiet_at(session, facts), facts.snapshot.now)
    hour = quiet.replace(minute=0, second=0, microsecond=0)
    return hour if hour == quiet else hour + timedelta(hours=1)


def _excluded(session: SessionRecord, facts: Facts) -> str:
    entries = facts.services.state.list_audit(entity="session", entity_id=session.id)
    last = next((entry for entry in reversed(entries) if entry.event == "session.excluded"), None)
    reason = short(session.status_reason) or "no reason given"
    return reason if last is None else f"{reason} (by {last.actor}, at {moment(last.at)})"
