"""`neuroflow cleanup`: delete what ended runs have left."""

from __future__ import annotations

import click

from neuroflow.cli.arguments import actor, examples, json_option
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.output import counted, escaped, write_json, write_table

_KINDS = click.Choice(["work", "attempts", "quarantine", "replaced"])


@click.command(
    "cleanup",
    epilog=examples(
        "neuroflow cleanup --dry-run",
        "neuroflow cleanup --older-than 30 --only work --dry-run",
        "neuroflow cleanup --yes",
    ),
)
@click.option("--dry-run", is_flag=True, help="Only list what would be deleted, with sizes.")
@click.option(
    "--older-than",
    type=click.FloatRange(min=0),
    metavar="DAYS",
    help="Instead of the days in `retention`: whatever ended so long ago.",
)
@click.option("--only", "kinds", type=_KINDS, multiple=True, help="Only this kind; may be repeated.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@json_option
@pass_app
def cleanup_command(
    app: AppContext, dry_run: bool, older_than: float | None, kinds: tuple[str, ...], yes: bool, as_json: bool
) -> None:
    """Delete what ended runs have left: work directories, attempts' folders, quarantine, replaced results.

    Only what the database proves to belong to an ended run; never present results. Exit code 1 when something could
    not be deleted.
    """
    from neuroflow.orchestrator.retention import KINDS, Ages, Keeper, measured

    services = app.services()
    keeper = Keeper(services, Ages(services.config.retention, older_than), kinds or KINDS)
    found = measured(keeper.find())
    total = sum(item.bytes or 0 for item in found)
    if as_json and dry_run:
        write_json(
            [{"kind": item.kind, "path": item.path, "bytes": item.bytes, "reason": item.reason} for item in found]
        )
        return
    if not as_json:
        rows = [(item.kind, _size(item.bytes), item.path, item.reason) for item in found]
        write_table(("kind", "size", "folder", "why"), rows, empty="nothing is old enough to go")
        if found:
            click.echo(f"{counted(len(found), 'folder')}, {_size(total)}")
    if dry_run or not found:
        return
    if not yes:
        click.confirm("delete them?", abort=True)
    cleanup = keeper.delete(found, actor=actor())
    if as_json:
        write_json({"deleted": [item.path for item in cleanup.deleted], "freed_bytes": cleanup.freed})
    else:
        click.echo(f"{len(cleanup.deleted)} deleted, {_size(cleanup.freed)} freed")
    for error in cleanup.errors:
        click.echo(f"error: {escaped(error)}", err=True)
    if cleanup.errors:
        raise click.exceptions.Exit(1)


def _size(count: int | None) -> str:
    if count is None:
        return "?"
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
