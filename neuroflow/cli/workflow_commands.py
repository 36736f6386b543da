"""`neuroflow workflow`: passes of the master workflow."""

from __future__ import annotations

import click

from neuroflow.cli.arguments import actor, examples, json_option, reason_option
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.doctor_command import ask_doctor, no_doctor_option
from neuroflow.cli.lists import tell_of_more
from neuroflow.cli.output import counted, escaped, when, write_json, write_table, write_values


@click.group("workflow", epilog=examples("neuroflow workflow run --dry-run", "neuroflow workflow run --sync"))
def workflow_group() -> None:
    """Run the master workflow, and look at its passes."""


@workflow_group.command(
    "run", epilog=examples("neuroflow workflow run", "neuroflow workflow run --sync --stage qsiprep")
)
@click.option("--stage", metavar="STAGE", help="Only this one: discovery, or a pipeline's name.")
@click.option("--sync", is_flag=True, help="Carry the runs through in this process, without Redis and workers.")
@click.option("--dry-run", is_flag=True, help="Change nothing; show what would be opened and withdrawn.")
@no_doctor_option
@pass_app
def run(app: AppContext, stage: str | None, sync: bool, dry_run: bool, no_doctor: bool) -> None:
    """Look for sessions, open the runs that are due, and hand them to the workers.

    With --sync: go on until nothing more can be done; exit code 1 when a run failed.
    """
    from neuroflow.cli import workflow_pass

    services = app.services()
    ask_doctor(services.config, skip=dry_run or no_doctor)
    if dry_run:
        workflow_pass.show_plan(services, stage)
    elif sync:
        workflow_pass.carry_through(services, stage)
    else:
        workflow_pass.queue(services, stage)


@workflow_group.command("list", epilog=examples("neuroflow workflow list --limit 5"))
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many, newest first.")
@json_option
@pass_app
def list_command(app: AppContext, limit: int, as_json: bool) -> None:
    """List the passes, newest first."""
    found = app.services().state.list_workflow_runs(limit + 1)
    records = found[:limit]
    if as_json:
        write_json({"schema": 1, "workflow_runs": records})
    else:
        write_table(
            ("id", "status", "tasks", "started", "ended", "error"),
            [(r.id, r.status, r.tasks_queued, when(r.created_at), when(r.ended_at), r.error) for r in records],
            empty="no workflow run yet",
        )
    if len(found) > limit:
        tell_of_more(f"the newest {limit}")


@workflow_group.command("status", epilog=examples("neuroflow workflow status", "neuroflow workflow status 12"))
@click.argument("workflow_run_id", metavar="[ID]", type=int, required=False)
@json_option
@pass_app
def status(app: AppContext, workflow_run_id: int | None, as_json: bool) -> None:
    """Show one pass (default: the newest) and the runs that it opened."""
    from neuroflow.errors import NotFoundError

    state = app.services().state
    if workflow_run_id is None:
        newest = state.list_workflow_runs(1)
        if not newest:
            raise NotFoundError("no workflow run yet", hint="start one: `neuroflow workflow run`")
        record = newest[0]
    else:
        record = state.get_workflow_run(workflow_run_id)
    runs = state.list_runs(workflow_run_id=record.id)
    if as_json:
        write_json({"schema": 1, "workflow_run": record, "runs": runs})
        return
    write_values(
        {
            "workflow run": record.id,
            "status": record.status,
            "stages": ", ".join(record.stages_completed),
            "tasks queued": record.tasks_queued,
            "started": when(record.created_at),
            "ended": when(record.ended_at),
            "error": record.error,
        }
    )
    rows = [(item.id, item.pipeline, item.scope, item.status, item.reason) for item in runs]
    write_table(("run", "pipeline", "scope", "status", "reason"), rows, empty="it opened no runs")


@workflow_group.command("cancel", epilog=examples('neuroflow workflow cancel 12 --reason "wrong protocol"'))
@click.argument("workflow_run_id", metavar="ID", type=int)
@reason_option
@pass_app
def cancel(app: AppContext, workflow_run_id: int, reason: str) -> None:
    """Cancel a pass, and every open run that it opened, with their jobs."""
    from neuroflow.orchestrator.control import cancel_workflow

    cancelled, errors = cancel_workflow(app.services(), workflow_run_id, reason=reason, actor=actor())
    ids = f": {', '.join(map(str, cancelled))}" if cancelled else ""
    click.echo(f"workflow run {workflow_run_id}: {counted(len(cancelled), 'run')} cancelled{ids}")
    for error in errors:
        click.echo(f"error: {escaped(error)}", err=True)
    if errors:
        raise click.exceptions.Exit(1)
