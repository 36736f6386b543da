"""`neuroflow logs audit`: who changed what, from where to where, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from neuroflow.cli.arguments import SESSION, SUBJECT, examples, find_session, json_option
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.moments import since_option
from neuroflow.cli.output import escaped, one_line, when

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from neuroflow.core.state import AuditFilter
    from neuroflow.domain import AuditRecord
    from neuroflow.orchestrator.services import Services


@click.command(
    "audit",
    epilog=examples(
        "neuroflow logs audit sub-01",
        "neuroflow logs audit sub-01 --people    # what people decided, without the program's own steps",
        "neuroflow logs audit sub-01 ses-02 --json",
        "neuroflow logs audit --run 12",
        "neuroflow logs audit --since 2d --actor ada",
        "neuroflow logs audit --event session.",
    ),
)
@click.argument("subject_label", metavar="[SUBJECT]", type=SUBJECT, required=False)
@click.argument("session_label", metavar="[SESSION]", type=SESSION, required=False)
@click.option("--subject", type=SUBJECT, help="Of this subject, its sessions and all their runs.")
@click.option("--session", type=SESSION, help="Of this session of the subject, and of its runs.")
@click.option("--run", "run_id", type=int, metavar="ID", help="Of this run and its attempts.")
@click.option("--workflow", "workflow_run_id", type=int, metavar="ID", help="Of this workflow run.")
@since_option("Only what was written since")
@click.option("--actor", metavar="NAME", help="Only what this user did; `neuroflow` is the program itself.")
@click.option("--people", "by_people", is_flag=True, help="Only what people did, and not the program itself.")
@click.option("--event", metavar="NAME", help="Only this event, such as run.completed, or all of a kind: run.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="How many, the newest.")
@json_option
@pass_app
def audit_command(
    app: AppContext,
    subject_label: str | None,
    session_label: str | None,
    subject: str | None,
    session: str | None,
    run_id: int | None,
    workflow_run_id: int | None,
    since: datetime | None,
    actor: str | None,
    by_people: bool,
    event: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Show what was changed, by whom and why: of a subject, a session, a run, or of everything."""
    from dataclasses import replace
    from itertools import chain, islice

    from neuroflow.cli.lists import tell_of_more, write_json_rows

    services = app.services()
    about = _about(services, subject or subject_label, session or session_label, run_id, workflow_run_id)
    wanted = replace(about, since=since, actor=actor, by_people=by_people, event=event, limit=limit + 1)
    entries = chain.from_iterable(services.state.audit_pages(wanted))
    shown = islice(entries, limit)
    if as_json:
        write_json_rows("audit", shown)
    else:
        write_audit(shown)
    if next(entries, None) is not None:
        tell_of_more(f"the newest {limit}")


def _about(
    services: Services, subject: str | None, session: str | None, run_id: int | None, workflow_run_id: int | None
) -> AuditFilter:
    """Return the one thing that is asked about, by its id."""
    from neuroflow.core.state import AuditFilter
    from neuroflow.errors import UsageError

    given = [
        name for name, value in (("--subject", subject), ("--run", run_id), ("--workflow", workflow_run_id)) if value
    ]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} ask about different things", hint="give one of them")
    if session is not None and subject is None:
        raise UsageError(f"--session {session} needs its subject: sessions of several have the same label")
    if run_id is not None:
        return AuditFilter(run_ids=(services.state.get_run(run_id).id,))
    if workflow_run_id is not None:
        return AuditFilter(workflow_run_id=services.state.get_workflow_run(workflow_run_id).id)
    if subject is not None and session is not None:
        return AuditFilter(session_id=find_session(services, subject, session).id)
    if subject is not None:
        return AuditFilter(subject_id=services.state.get_subject(subject).id)
    return AuditFilter()


def write_audit(entries: Iterable[AuditRecord]) -> None:
    """Write audit rows, a line each."""
    entry = None
    for entry in entries:
        click.echo(audit_line(entry))
    if entry is None:
        click.echo("nothing of that kind was changed")


def audit_line(entry: AuditRecord) -> str:
    """Return an audit row in one line."""
    move = f" {entry.before or 'new'} -> {entry.after}" if entry.after else ""
    name = f"{entry.entity} {entry.entity_id}" if entry.entity_id is not None else entry.entity
    reason = f": {one_line(entry.reason)}" if entry.reason.strip() else ""
    return f"{when(entry.at)}  {escaped(entry.actor)}  {escaped(name)}  {escaped(entry.event)}{escaped(move)}{reason}"
