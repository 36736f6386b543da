"""`neuroflow status`: what is done, what failed, what waits, and why."""

from __future__ import annotations

from typing import Any

import click

from neuroflow.cli.arguments import examples, json_option
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.output import escaped, one_line, when, write_json, write_table

_MAX_LINES = 20
OUTDATED = (
    "the workers were started with another configuration: send `neuroflow up` SIGHUP or restart it (or worker and beat)"
)


@click.command("status", epilog=examples("neuroflow status", "neuroflow status --json"))
@json_option
@pass_app
def status_command(app: AppContext, as_json: bool) -> None:
    """Show each pipeline's runs, then the failed ones, then what waits and why."""
    from neuroflow.cli.status_report import status_report

    report = status_report(app.services())
    if as_json:
        write_json(report)
        return
    columns = list(report["pipelines"][0])
    write_table(columns, [[row[name] for name in columns] for row in report["pipelines"]], empty="no pipelines")
    click.echo("\nsessions: " + ", ".join(f"{count} {status}" for status, count in report["sessions"].items()))
    click.echo(_poll_line(report["last_poll"]))
    click.echo(_backup_line(report["last_backup"]))
    if report["workers_outdated"]:
        click.echo(OUTDATED)
    if report["undelivered"]:
        click.echo(f"notifications that did not arrive: {report['undelivered']} (`neuroflow notify list`)")
    if report["slurm"] is not None:
        click.echo(_slurm_line(report["slurm"], report["last_poll"]))
    for name, reason in report["held"].items():
        click.echo(f"held: {name}: {one_line(reason)} (`neuroflow pipeline resume {name}`)")
    for image in report["changed_images"]:
        click.echo(
            f"image changed: {image['pipeline']}: {escaped(image['image'])} is another one since "
            f"{when(image['since'])} (`neuroflow containers verify {image['pipeline']}`)"
        )
    _section(
        "failed (`neuroflow runs show ID`):",
        [f"run {run['run']} {run['pipeline']} {run['scope']}: {one_line(run['reason'])}" for run in report["failed"]],
    )
    _section("waiting:", [f"{wait.pipeline} {wait.scope}: {one_line(wait.reason)}" for wait in report["waits"]])


def _backup_line(backup: dict[str, Any] | None) -> str:
    if backup is None:
        return "last backup: never (`neuroflow db backup`)"
    rows = f", {backup['rows']} rows" if "rows" in backup else ""
    return f"last backup: {when(backup['at'])}{rows}"


def _poll_line(poll: dict[str, Any] | None) -> str:
    if poll is None:
        return "last look at the jobs: never"
    unknown = f", {poll['unknown']} that no witness knows" if poll.get("unknown") else ""
    errors = "".join(f"; no answer: {one_line(error)}" for error in poll.get("errors", ()))
    return f"last look at the jobs: {when(poll['at'])}{unknown}{errors}"


def _slurm_line(slurm: dict[str, Any], poll: dict[str, Any] | None) -> str:
    interval = f"asked every {poll['interval_seconds']:.0f} s now, " if poll and "interval_seconds" in poll else ""
    answers = ", ".join(f"{row['program']} {row['calls']} ({row['mean_seconds']:.2f} s)" for row in slurm["programs"])
    left = f"{slurm['calls_left']:.0f} of {slurm['calls_per_minute']:g} calls left in this minute"
    return f"SLURM: {interval}{left}" + (f"; calls (mean): {answers}" if answers else "")


def _section(title: str, lines: list[str]) -> None:
    if not lines:
        return
    click.echo(f"\n{title}")
    for line in lines[:_MAX_LINES]:
        click.echo(f"  {escaped(line)}")
    if len(lines) > _MAX_LINES:
        click.echo(f"  … and {len(lines) - _MAX_LINES} more (--json has all)")
