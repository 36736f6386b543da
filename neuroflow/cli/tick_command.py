"""`neuroflow tick`: one round of everything, in this process, for cron or for trying out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from neuroflow.cli.arguments import examples
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.doctor_command import ask_doctor, no_doctor_option
from neuroflow.cli.output import counted, escaped

if TYPE_CHECKING:
    from neuroflow.orchestrator.reconcile import PollReport
    from neuroflow.orchestrator.services import Services


@click.command("tick", epilog=examples("neuroflow tick", "*/5 * * * * neuroflow --config study/neuroflow.yaml tick"))
@no_doctor_option
@pass_app
def tick_command(app: AppContext, no_doctor: bool) -> None:
    """Do one round without Redis or workers: scan, poll, start what is due, tell people, back up, make room.

    Safe beside running workers; one that meets another tick at work does nothing. Exit code 1 when a
    cluster did not answer or a run could not be handed over.
    """
    from neuroflow.orchestrator.lease import lease

    services = app.services()
    ask_doctor(services.config, skip=no_doctor)
    with lease(services.state, "tick") as mine:
        if mine:
            _round(services)
        else:
            click.echo("another tick is at work; this one leaves everything to it")


def _round(services: Services) -> None:
    from neuroflow.metrics.textfile import write_metrics
    from neuroflow.orchestrator.maintenance import maintain
    from neuroflow.orchestrator.notifications import notify_round
    from neuroflow.orchestrator.rounds import poll_round
    from neuroflow.orchestrator.steps import InlineDispatcher, advance, discover
    from neuroflow.views.status_leave import leave_snapshot

    outcome, problems = discover(services)
    click.echo(f"scan: {counted(outcome.found, 'session')}, {outcome.ready} ready, {counted(len(problems), 'problem')}")
    poll = poll_round(services, at_once=True)
    click.echo("poll: another process looks at the jobs just now" if poll is None else _poll_line(poll))
    dispatcher = InlineDispatcher(services)
    report = advance(services, dispatcher)
    upkeep = maintain(services)
    write_metrics(services, broker=lambda: None)
    leave_snapshot(services.config, at_once=True)
    launched = sum(result.launched for result in dispatcher.results)
    click.echo(f"advance: {len(report.opened)} opened, {launched} launched, {len(report.waits)} wait")
    for result in dispatcher.results:
        if not result.launched:
            click.echo(f"run {result.run_id}: {escaped(result.message)}")
    told = notify_round(services)
    if told.queued or told.sent or told.failed:
        click.echo(f"notifications: {told.sent} delivered, {len(told.failed)} not")
    for problem in told.failed:  # tried again by itself, and no reason to call the round a failure
        click.echo(f"not told: {escaped(problem)}", err=True)
    errors = (*(poll.errors if poll else ()), *report.errors, *upkeep.get("errors", ()))
    for error in errors:
        click.echo(f"error: {escaped(error)}", err=True)
    if errors:
        raise click.exceptions.Exit(1)


def _poll_line(poll: PollReport) -> str:
    looked_at = counted(poll.looked_at, "attempt")
    return f"poll: {looked_at}, {poll.running} running, {poll.unknown} unknown, {len(poll.ended)} ended"
