"""`neuroflow scan`: look for sessions on disk."""

from __future__ import annotations

import click

from neuroflow.cli.arguments import examples, json_option
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.output import counted, escaped, write_json


@click.command("scan", epilog=examples("neuroflow scan", "neuroflow scan --json"))
@json_option
@pass_app
def scan_command(app: AppContext, as_json: bool) -> None:
    """Look for DICOM sessions under paths.dicom_root and write down what is there."""
    from neuroflow.orchestrator.steps import discover

    outcome, problems = discover(app.services())
    if as_json:
        write_json({"schema": 1, "outcome": outcome, "problems": problems})
        return
    click.echo(
        f"found {counted(outcome.found, 'session')}: {outcome.new} new, {outcome.changed} changed; "
        f"{outcome.ready} ready, {outcome.settling} settling, {outcome.invalid} invalid"
    )
    for problem in problems:
        click.echo(f"problem: {escaped(problem)}")
