"""`neuroflow notify`: try the targets, and see what was told."""

from __future__ import annotations

import click

from neuroflow.cli.arguments import examples, json_option
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.output import escaped, one_line, when, write_json, write_table

_SHOWN = 50


@click.group("notify", epilog=examples("neuroflow notify test", "neuroflow notify list"))
def notify_group() -> None:
    """Try who is told, and see what was told."""


@notify_group.command("test", epilog=examples("neuroflow notify test", "neuroflow notify test --channel slack"))
@click.option("--channel", metavar="NAME", help="Only the targets whose names start so: slack, mail, urls[0].")
@pass_app
def test_command(app: AppContext, channel: str | None) -> None:
    """Send a test message to every target; exit code 9 when one did not take it.

    Needs no database: it may be the first thing that is tried.
    """
    from neuroflow import log
    from neuroflow.domain import Message
    from neuroflow.errors import NotificationError, UsageError
    from neuroflow.notify.send import send
    from neuroflow.notify.targets import targets_of

    config = app.config()
    log.configure(config.logging.model_copy(update={"level": "WARNING"}), service="cli")
    targets = targets_of(config.workflow.notifications)
    if not targets:
        raise UsageError(
            "there is no target: workflow.notifications names no slack_webhook, email_recipients or urls",
            hint="set one of them, best in the environment or in a file that only you can read",
        )
    chosen = [target for target in targets if target.name.startswith(channel or "")]
    if not chosen:
        raise UsageError(f"no target's name starts with '{channel}'; there are: {', '.join(t.name for t in targets)}")
    message = Message(
        f"[neuroflow {config.cluster.name}] test",
        "This is a test of neuroflow's notifications. Nothing has happened.",
        urgent=False,
    )
    failed = 0
    for target in chosen:
        try:
            send(target, message)
            click.echo(f"{target.name}: sent")
        except NotificationError as error:
            failed += 1
            click.echo(f"{escaped(str(error))}", err=True)
    if failed:
        raise NotificationError(f"{failed} of {len(chosen)} targets did not take the test message")


@notify_group.command("list", epilog=examples("neuroflow notify list --json"))
@json_option
@pass_app
def list_command(app: AppContext, as_json: bool) -> None:
    """List the last messages with what became of them at each target, and how much nobody was told yet."""
    services = app.services()
    deliveries = services.state.list_deliveries(limit=_SHOWN)
    waiting = len(services.state.pending_notices())
    if as_json:
        write_json({"schema": 1, "notices_not_told_yet": waiting, "deliveries": deliveries})
        return
    rows = [
        (
            item.message_id,
            when(item.created_at),
            item.target,
            item.status,
            item.tries,
            one_line(item.message.subject),
            _outlook(item.error, when(item.next_try_at) if item.status == "pending" else ""),
        )
        for item in deliveries
    ]
    columns = ("message", "written", "target", "status", "tries", "subject", "last error")
    write_table(columns, rows, empty="nobody was told anything yet")
    click.echo(f"\nnot told yet, because it gathers or was told lately: {waiting}")


def _outlook(error: str, next_try: str) -> str:
    return f"{one_line(error)}; next try {next_try}" if error and next_try else one_line(error)
