"""`neuroflow session`: look at sessions, run them again, take them out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from neuroflow.cli.arguments import (
    SESSION,
    SUBJECT,
    actor,
    examples,
    find_session,
    json_option,
    reason_option,
    status_of,
)
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.output import escaped, one_line, plain_data, when, write_json, write_table, write_values
from neuroflow.cli.run_commands import write_runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from neuroflow.domain import RunRecord, SessionRecord, SessionStatus
    from neuroflow.orchestrator.services import Services

_subject = click.argument("subject", type=SUBJECT)
_session = click.argument("session", type=SESSION)


@click.group(
    "session", epilog=examples("neuroflow session list --status invalid", "neuroflow session show 01 baseline")
)
def session_group() -> None:
    """Look at sessions, run them again, take them out."""


@session_group.command("list", epilog=examples("neuroflow session list --subject sub-01 --status ready"))
@click.option("--subject", type=SUBJECT, help="Only this subject's.")
@click.option("--status", type=status_of("SessionStatus"), help="Only with this status.")
@click.option("--limit", type=click.IntRange(min=1), help="How many, by label  [default: all].")
@json_option
@pass_app
def list_command(
    app: AppContext, subject: str | None, status: SessionStatus | None, limit: int | None, as_json: bool
) -> None:
    """List sessions by label."""
    state = app.services().state
    if subject is not None:
        state.get_subject(subject)
    sessions = state.list_sessions(subject=subject, status=status, limit=limit)
    if as_json:
        # The series are many; `session show --json` has them.
        brief = [{k: v for k, v in plain_data(session).items() if k != "series"} for session in sessions]
        write_json({"schema": 1, "sessions": brief})
        return
    write_sessions(sessions)


def write_sessions(sessions: Sequence[SessionRecord]) -> None:
    """Write a table of sessions."""
    rows = [
        (session.subject, session.label, session.status, len(session.series), one_line(session.status_reason))
        for session in sessions
    ]
    write_table(("subject", "session", "status", "series", "reason"), rows, empty="no sessions: run `neuroflow scan`")


@session_group.command("show", epilog=examples("neuroflow session show sub-01 ses-baseline"))
@_subject
@_session
@json_option
@pass_app
def show(app: AppContext, subject: str, session: str, as_json: bool) -> None:
    """Show a session's folder, series, problems and runs, its subject's included."""
    services = app.services()
    record = find_session(services, subject, session)
    runs = _runs_of(services, record)
    if as_json:
        write_json({"schema": 1, "session": record, "runs": runs})
        return
    write_values(
        {
            "session": record.scope,
            "status": record.status,
            "reason": record.status_reason,
            "folder": record.path,
            "unchanged since": when(record.fingerprint_since),
        }
    )
    for problem in record.problems:
        click.echo(f"problem: {escaped(problem)}")
    series = [(item.number, item.modality, item.files, item.images, item.description) for item in record.series]
    write_table(("series", "modality", "files", "images", "description"), series, empty="no series")
    write_runs(runs)


@session_group.command(
    "rerun", epilog=examples('neuroflow session rerun 01 baseline --pipeline qsiprep --reason "new image"')
)
@_subject
@_session
@click.option("--pipeline", metavar="NAME", help="Only this one; default: what failed, else the conversion.")
@reason_option
@pass_app
def rerun(app: AppContext, subject: str, session: str, pipeline: str | None, reason: str) -> None:
    """Run a session again; what depends on it follows."""
    from neuroflow.errors import UsageError

    services = app.services()
    record = find_session(services, subject, session)
    if pipeline is not None:
        services.registry.get(pipeline)
    asked = services.state.mark_session_for_rerun(record.id, reason, pipeline=pipeline, actor=actor())
    if not asked:
        raise UsageError(
            f"{record.scope} has no ended run{f' of {pipeline}' if pipeline else ''} to run again: "
            "the newest is open, to be run again already, or not there",
            hint=f"see `neuroflow session show {subject} {session}`",
        )
    click.echo(f"{record.scope}: to be run again in place of run {', '.join(map(str, asked))}")


@session_group.command("exclude", epilog=examples('neuroflow session exclude 01 baseline --reason "moved too much"'))
@_subject
@_session
@reason_option
@pass_app
def exclude(app: AppContext, subject: str, session: str, reason: str) -> None:
    """Take a session out; runs that are under way go on."""
    services = app.services()
    record = _set_excluded(services, subject, session, excluded=True, reason=reason or f"excluded by {actor()}")
    for run in _runs_of(services, record, open_only=True):
        click.echo(f"run {run.id} ({run.pipeline}) is {run.status}; `neuroflow runs cancel {run.id}` ends it")


@session_group.command("include", epilog=examples("neuroflow session include 01 baseline"))
@_subject
@_session
@reason_option
@pass_app
def include(app: AppContext, subject: str, session: str, reason: str) -> None:
    """Take an excluded session back in; the next scan decides how it stands."""
    _set_excluded(app.services(), subject, session, excluded=False, reason=reason or f"included by {actor()}")


def _set_excluded(services: Services, subject: str, session: str, *, excluded: bool, reason: str) -> SessionRecord:
    record = find_session(services, subject, session)
    changed = services.state.set_session_excluded(record.id, excluded, reason=reason, actor=actor())
    click.echo(f"{changed.scope} is {changed.status}")
    return changed


def _runs_of(services: Services, session: SessionRecord, *, open_only: bool = False) -> list[RunRecord]:
    """Return a session's runs and those of its subject."""
    runs = services.state.list_runs(subject=session.subject, open_only=open_only)
    return [run for run in runs if run.session_id in (None, session.id)]
