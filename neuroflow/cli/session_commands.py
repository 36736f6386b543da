"""`neuroflow session`: look at sessions; what changes them is in `session_acts`."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import click

from neuroflow.cli.arguments import (
    SESSION,
    SUBJECT,
    examples,
    find_session,
    json_option,
    status_of,
)
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.output import (
    counted,
    escaped,
    no_match,
    one_line,
    when,
    write_json,
    write_table,
    write_values,
)
from neuroflow.cli.run_table import write_runs
from neuroflow.cli.session_acts import exclude, include, rerun

if TYPE_CHECKING:
    from collections.abc import Sequence

    from neuroflow.core.state import StateManager
    from neuroflow.domain import RunRecord, SessionRecord, SessionStatus
    from neuroflow.orchestrator.services import Services

_NO_SESSIONS = "no sessions: run `neuroflow scan`"
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
@click.option(
    "--limit", type=click.IntRange(min=1), help="How many, by label  [default: 50 on a terminal, all elsewhere]."
)
@json_option
@pass_app
def list_command(
    app: AppContext, subject: str | None, status: SessionStatus | None, limit: int | None, as_json: bool
) -> None:
    """List sessions by label."""
    from neuroflow.cli.lists import limit_for_people, tell_of_more, write_json_rows

    state = app.services().state
    if subject is not None:
        state.get_subject(subject)
    most = limit_for_people(limit, as_json=as_json)
    pages = state.session_pages(subject=subject, status=status, limit=most)
    if as_json:
        write_json_rows("sessions", (_brief(session) for page in pages for session, _ in page))
        return
    rows = [_row(session, series) for page in pages for session, series in page]
    _write_rows(rows, empty="" if rows else _no_sessions(state, status, subject))
    if len(rows) == most and (total := state.count_listed(subject=subject, status=status)) > most:
        tell_of_more(
            f"the first {most:,} of {counted(total, 'session')}",
            how=f"--limit {total} shows all, --subject and --status fewer",
        )


def _brief(session: SessionRecord) -> dict[str, object]:
    """Return a session without its series: they are many, and `session show --json` has them."""
    return {field.name: getattr(session, field.name) for field in fields(session) if field.name != "series"}


def _no_sessions(state: StateManager, status: SessionStatus | None, subject: str | None) -> str:
    total = sum(state.state_counts().sessions.values())
    if not total or (status is None and subject is None):
        return _NO_SESSIONS
    if subject is not None:
        return no_match(total, "session")
    return f"no session is {status}; there {'is' if total == 1 else 'are'} {counted(total, 'session')}"


def write_sessions(sessions: Sequence[SessionRecord]) -> None:
    """Write a table of sessions."""
    _write_rows([_row(session, len(session.series)) for session in sessions], empty=_NO_SESSIONS)


def _row(session: SessionRecord, series: int) -> tuple[object, ...]:
    return session.subject, session.label, session.status, series, one_line(session.status_reason)


def _write_rows(rows: Sequence[tuple[object, ...]], *, empty: str) -> None:
    write_table(("subject", "session", "status", "series", "reason"), rows, empty=empty, shortened="reason")


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
    write_runs(services.state, runs)


def _runs_of(services: Services, session: SessionRecord) -> list[RunRecord]:
    """Return a session's runs and those of its subject."""
    runs = services.state.list_runs(subject=session.subject)
    return [run for run in runs if run.session_id in (None, session.id)]


for _command in (exclude, include, rerun):
    session_group.add_command(_command)
