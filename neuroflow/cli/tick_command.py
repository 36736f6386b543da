"""`neuroflow tick`: one round of everything, in this process, for cron or for trying out."""

from __future__ import annotations

import click

from neuroflow.cli.arguments import examples
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.output import escaped


@click.command("tick", epilog=examples("neuroflow tick", "*/5 * * * * neuroflow --config study/neuroflow.yaml tick"))
@pass_app
def tick_command(app: AppContext) -> None:
    """Do one round without Redis or workers: scan, look at the jobs, start what is due.

    Safe beside running workers. Exit code 1 when a cluster did not answer or a run could not be handed over.
    """
    from neuroflow.orchestrator.reconcile import Poller
    from neuroflow.orchestrator.steps import InlineDispatcher, advance, discover

    services = app.services()
    outcome, problems = discover(services)
    click.echo(f"scan: {outcome.found} sessions, {outcome.ready} ready, {len(problems)} problems")
    poll = Poller(services).poll()
    click.echo(
        f"poll: {poll.looked_at} attempts, {poll.running} running, {poll.unknown} unknown, {len(poll.ended)} ended"
    )
    dispatcher = InlineDispatcher(services)
    report = advance(services, dispatcher)
    launched = sum(result.launched for result in dispatcher.results)
    click.echo(f"advance: {len(report.opened)} opened, {launched} launched, {len(report.waits)} wait")
    for result in dispatcher.results:
        if not result.launched:
            click.echo(f"run {result.run_id}: {escaped(result.message)}")
    errors = (*poll.errors, *report.errors)
    for error in errors:
        click.echo(f"error: {escaped(error)}", err=True)
    if errors:
        raise click.exceptions.Exit(1)
