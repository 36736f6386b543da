"""`neuroflow db`: the state database's schema."""

from __future__ import annotations

import click

from neuroflow.cli.arguments import examples
from neuroflow.cli.context import AppContext, pass_app


@click.group("db", epilog=examples("neuroflow db upgrade", "neuroflow db current"))
def db_group() -> None:
    """Make and upgrade the state database."""


@db_group.command("upgrade", epilog=examples("neuroflow db upgrade"))
@pass_app
def upgrade(app: AppContext) -> None:
    """Make the database, or bring its schema to this version; safe to repeat."""
    from neuroflow.orchestrator.folders import make_folders

    make_folders(app.config())
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
