"""`neuroflow db`: the state database's schema, its backups, and putting one back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from neuroflow.cli.arguments import actor, examples, json_option
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.output import escaped, write_json, write_table

if TYPE_CHECKING:
    from neuroflow.core.database import Database
    from neuroflow.orchestrator.restore import Restored


@click.group("db", epilog=examples("neuroflow db upgrade", "neuroflow db backup", "neuroflow db restore FILE"))
def db_group() -> None:
    """Make and upgrade the state database, back it up, and restore it."""


@db_group.command("upgrade", epilog=examples("neuroflow db upgrade"))
@pass_app
def upgrade(app: AppContext) -> None:
    """Make the database, or bring its schema to this version; safe to repeat."""
    from neuroflow.orchestrator.folders import make_folders

    make_folders(app.config(check_files=False))
    with app.database() as database:
        before = database.current()
        after = database.upgrade()
        click.echo(
            f"{database.name}: {before or 'no schema'} -> {after}" if before != after else f"up to date: {after}"
        )


@db_group.command("current", epilog=examples("neuroflow db current"))
@pass_app
def current(app: AppContext) -> None:
    """Show the schema's revision; exit code 4 when it does not fit this version."""
    with app.database() as database:
        click.echo(f"{database.name}: {database.current() or 'no schema'}")
        database.check()


@db_group.command("backup", epilog=examples("neuroflow db backup", "neuroflow db backup /backup/before-upgrade"))
@click.argument("file", required=False, type=click.Path(path_type=Path))
@pass_app
def backup(app: AppContext, file: Path | None) -> None:
    """Write a backup of the whole database to FILE, while everything runs.

    Without FILE it goes into the folder of backups. It can be restored into SQLite and PostgreSQL alike.
    """
    from neuroflow.orchestrator.backups import backup_now, new_backup
    from neuroflow.orchestrator.services import utc_now

    config, now = app.config(), utc_now()
    path = file.absolute() if file is not None else new_backup(config, now, prefix="manual")
    with app.database() as database:
        done = backup_now(database, path, now=now)
    click.echo(f"{escaped(str(done.path))}: {done.summary.total} rows, {done.bytes / 1e6:.1f} MB, checksum verified")


@db_group.command("backups", epilog=examples("neuroflow db backups", "neuroflow db backups --json"))
@json_option
@pass_app
def backups(app: AppContext, as_json: bool) -> None:
    """List the backups in the folder of backups, newest first."""
    from datetime import UTC, datetime

    from neuroflow.cli.output import when
    from neuroflow.orchestrator.backup_files import list_backups

    config = app.config()
    found = list_backups(config)
    if as_json:
        write_json(found)
        return
    rows = [
        (when(datetime.fromtimestamp(file.modified_at, UTC)), f"{file.bytes / 1e6:.1f}", file.path) for file in found
    ]
    write_table(("taken", "MB", "file"), rows, empty=f"no backups in {config.backups_dir}")


@db_group.command("restore", epilog=examples("neuroflow db restore FILE", "neuroflow db restore FILE --replace"))
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--replace", is_flag=True, help="Replace a database that is in use; a backup of it is taken first.")
@pass_app
def restore(app: AppContext, file: Path, replace: bool) -> None:
    """Put the backup FILE into the configured database, all or nothing; all services must be stopped.

    Attempts that were made after the backup are found by their folders and taken in, so that nothing runs twice.
    Their pipelines are held until `neuroflow pipeline resume`.
    """
    from neuroflow.cli.restoring import restore_safely
    from neuroflow.orchestrator.folders import make_folders

    config = app.config()
    make_folders(config)
    with app.database() as database:
        kept, restored = restore_safely(config, database, file.absolute(), replace=replace, actor=actor())
        if kept is not None:
            click.echo(f"what was there before is kept: {escaped(str(kept))}")
        _say(database, restored)


def _say(database: Database, restored: Restored) -> None:
    adoption = restored.adoption
    click.echo(f"restored into {database.name}")
    for entry in adoption.adopted:
        job = f", job {entry.job_id}" if entry.job_id else ""
        click.echo(f"taken in: run {entry.run_id} {entry.pipeline} {escaped(entry.scope)}: {entry.token}{job}")
    for run_id in adoption.closed_runs:
        click.echo(f"closed: run {run_id}, which had ended after the backup")
    for refused in adoption.refused:
        click.echo(f"refused and fenced: {refused.entry.folder}: {escaped(refused.reason)}")
    for name in restored.strangers:
        click.echo(f"not known: job {name} in SLURM; if it is not another installation's: scancel -n {name}")
    if restored.unanswered:
        click.echo(f"SLURM could not be asked for jobs that the backup does not know: {escaped(restored.unanswered)}")
    if restored.held:
        click.echo(
            f"held: {', '.join(restored.held)}; start the services, look at `neuroflow status`, then "
            "`neuroflow pipeline resume NAME`"
        )
