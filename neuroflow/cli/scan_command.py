"""`neuroflow scan`: look for sessions on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from neuroflow.cli.arguments import examples, json_option
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.output import counted, escaped, write_json

if TYPE_CHECKING:
    from neuroflow.domain import ScanOutcome

_LOST_NAMED = 5


@click.command("scan", epilog=examples("neuroflow scan", "neuroflow scan --json"))
@json_option
@pass_app
def scan_command(app: AppContext, as_json: bool) -> None:
    """Look for DICOM sessions under paths.dicom_root and write down what is there.

    A known session whose folder is gone is named, and stays as it is: its results do not need it.
    """
    from neuroflow.orchestrator.steps import discover

    outcome, problems = discover(app.services())
    if as_json:
        write_json({"schema": 1, "outcome": outcome, "problems": problems})
        return
    click.echo(
        f"found {counted(outcome.found, 'session')}: {outcome.new} new, {outcome.changed} changed; "
        f"{outcome.ready} ready, {outcome.settling} settling, {outcome.invalid} invalid"
    )
    if outcome.not_found:
        click.echo(escaped(lost_line(outcome)))
    for problem in problems:
        click.echo(f"problem: {escaped(problem)}")


def lost_line(outcome: ScanOutcome) -> str:
    """Say which known sessions have no folder any more."""
    named = [f"{one.scope} ({one.folder})" for one in outcome.lost_folders[:_LOST_NAMED]]
    more = outcome.not_found - len(named)
    named += [f"and {more} more"] if more else []
    known = "1 known session was" if outcome.not_found == 1 else f"{outcome.not_found} known sessions were"
    return f"{known} not found: {', '.join(named)}"
