"""`neuroflow logs service`: what worker, beat, the command line and Redis logged."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from neuroflow.cli.arguments import examples
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.log_entries import write_entry
from neuroflow.cli.log_text import ending_on_ctrl_c, say
from neuroflow.cli.moments import since_option

if TYPE_CHECKING:
    from datetime import datetime

    from neuroflow.views.service_log import LogFilter
    from neuroflow.views.service_sources import Source

_FOLLOW_SECONDS = 0.5


@click.command(
    "service",
    epilog=examples(
        "neuroflow logs service --level warning --since 1d",
        "neuroflow logs service worker --follow",
        "neuroflow logs service --run 12 --json",
        "neuroflow logs service redis --tail 50",
    ),
)
@click.argument("name", metavar="[SERVICE]", required=False)
@click.option("--follow", "-f", is_flag=True, help="Go on with what is logged from now on, until Ctrl-C.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="The last N lines; default 200, or all --since.")
@since_option("Only what was written since")
@click.option(
    "--level", type=click.Choice(["debug", "info", "warning", "error", "critical"]), help="As grave as this, or graver."
)
@click.option("--run", "run_id", type=int, metavar="ID", help="Only about this run.")
@click.option("--json", "raw", is_flag=True, help="The lines as they are in the file.")
@pass_app
def service_command(
    app: AppContext,
    name: str | None,
    follow: bool,
    tail: int | None,
    since: datetime | None,
    level: str | None,
    run_id: int | None,
    raw: bool,
) -> None:
    """Show what the services logged, files that were put aside included.

    SERVICE is worker, beat, cli, up (lines of `logging.file`), redis, or the name of a file in the log folder; without
    it, all lines of `logging.file`.
    """
    from dataclasses import replace

    from neuroflow.errors import NotFoundError
    from neuroflow.views.service_log import LogFilter
    from neuroflow.views.service_sources import find_source

    wanted = LogFilter(
        level=level,
        run_ids=frozenset() if run_id is None else frozenset({run_id}),
        since=since,
    )
    limit = tail if tail is not None else (None if since is not None else 200)
    config = app.config(check_files=False)
    with ending_on_ctrl_c():
        try:
            source = find_source(config, name)
            show_service_log(source, replace(wanted, services=source.services), limit=limit, follow=follow, raw=raw)
        except PermissionError as error:
            raise NotFoundError(
                f"the log can't be read by this user: {error.filename}",
                hint="logs are closed to other users: ask whoever runs the services, or see paths.group",
            ) from error


def show_service_log(source: Source, wanted: LogFilter, *, limit: int | None, follow: bool, raw: bool) -> None:
    """Write the last lines of a log, and those that come."""
    from neuroflow.views.service_log import Follower, files_of, last_entries
    from neuroflow.views.service_sources import has_text

    # Opened before the last lines are read, so that none is missed between.
    follower = Follower(source.path) if follow else None
    entries = last_entries(files_of(source.path), wanted, limit=limit) if limit != 0 else []
    for entry in entries:
        write_entry(entry, raw=raw)
    if not entries and not follow:
        written = any(has_text(file) for file in files_of(source.path))
        say(f"nothing of that kind in {source.path}" if written else f"nothing has been written to {source.path} yet")
    while follower is not None:
        for entry in follower.read():
            if wanted.accepts(entry):
                write_entry(entry, raw=raw)
        time.sleep(_FOLLOW_SECONDS)
