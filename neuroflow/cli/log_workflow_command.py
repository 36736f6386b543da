"""`neuroflow logs workflow`: what the stages and tasks of a workflow run logged, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from neuroflow.cli.arguments import examples
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.log_audit_command import audit_line
from neuroflow.cli.log_entries import entry_text
from neuroflow.cli.output import write_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from neuroflow.domain import AuditRecord
    from neuroflow.views.service_log import Entry

_MOST_ROWS = 10_000


@click.command("workflow", epilog=examples("neuroflow logs workflow 3", "neuroflow logs workflow 3 --runs --json"))
@click.argument("workflow_run_id", metavar="ID", type=int)
@click.option("--runs", "with_runs", is_flag=True, help="And what was logged and changed of the runs that it opened.")
@click.option(
    "--level",
    type=click.Choice(["debug", "info", "warning", "error", "critical"]),
    help="Log lines as grave as this, or graver.",
)
@click.option("--tail", type=click.IntRange(min=1), metavar="N", help="Only the last N lines of the log.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@pass_app
def workflow_command(
    app: AppContext, workflow_run_id: int, with_runs: bool, level: str | None, tail: int | None, as_json: bool
) -> None:
    """Show what a workflow run's stages and tasks logged, with its rows of the audit log, in order of time."""
    from neuroflow.core.state import AuditFilter
    from neuroflow.errors import NotFoundError
    from neuroflow.views.service_log import LogFilter, files_of, last_entries
    from neuroflow.views.service_sources import find_source

    services = app.services()
    state = services.state
    workflow = state.get_workflow_run(workflow_run_id)
    runs = state.runs_opened_by(workflow_run_id) if with_runs else []
    audit = state.find_audit(AuditFilter(workflow_run_id=workflow_run_id, limit=_MOST_ROWS))
    if with_runs:
        audit += state.find_audit(AuditFilter(opened_by=workflow_run_id, limit=_MOST_ROWS))
    entries: Sequence[Entry] = ()
    try:
        path = find_source(services.config, None).path
        wanted = LogFilter(
            level=level, workflow_run_id=workflow_run_id, run_ids=frozenset(runs), since=workflow.created_at
        )
        entries = last_entries(files_of(path), wanted, limit=tail)
    except NotFoundError as error:
        click.echo(f"==> the audit log alone: {error} <==", err=True)
    if as_json:
        write_json({"schema": 1, "workflow_run": workflow, "audit": audit, "log": [entry.values for entry in entries]})
        return
    for line in _in_order(audit, entries):
        click.echo(line)


def _in_order(audit: Sequence[AuditRecord], entries: Sequence[Entry]) -> list[str]:
    lines = [(row.at, audit_line(row)) for row in audit]
    last = audit[0].at if audit else None
    for entry in entries:
        last = entry.at or last
        if last is not None:
            lines.append((last, entry_text(entry)))
    return [line for _, line in sorted(lines, key=lambda item: item[0])]
