"""`neuroflow status`: what is done, what failed, what waits, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neuroflow.cli.arguments import SESSION, SUBJECT, examples, json_option
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.moments import since_option
from neuroflow.cli.output import escaped, write_json

if TYPE_CHECKING:
    from datetime import datetime

    from neuroflow.cli.status_filters import Asked
    from neuroflow.config import NeuroflowConfig
    from neuroflow.domain.overview import RunFilter

_SCREEN_RUNS = 20
_WATCH_SECONDS = "2"


@click.command(
    "status",
    epilog=examples(
        "neuroflow status",
        "neuroflow status --watch",
        "neuroflow status --subject sub-01 --pipeline qsiprep",
        "neuroflow status --failed --since 2d",
        "neuroflow status --tsv > status.tsv",
        "neuroflow status --snapshot /data/study/state/status.json",
    ),
)
@click.option("--subject", "subjects", type=SUBJECT, multiple=True, help="Only this subject's; may be repeated.")
@click.option("--session", "sessions", type=SESSION, multiple=True, help="Only this session's; may be repeated.")
@click.option("--pipeline", "pipelines", metavar="NAME", multiple=True, help="Only this pipeline; may be repeated.")
@click.option(
    "--status", "standings", metavar="STATUS", multiple=True, help="List the runs that are done, running, failed, ..."
)
@click.option("--failed", is_flag=True, help="List the failed runs: the same as --status failed.")
@since_option("List the runs that changed since")
@click.option("--limit", type=click.IntRange(min=1), help="How many runs are listed  [default: 20; with --json all].")
@click.option(
    "--watch", is_flag=False, flag_value=_WATCH_SECONDS, type=click.FloatRange(min=0.5), metavar="[SECONDS]",
    help=f"Look again every so often, until Ctrl-C; without a number every {_WATCH_SECONDS} s.",
)  # fmt: skip
@click.option("--tsv", "as_tsv", is_flag=True, help="Write a table: one line per subject or session and pipeline.")
@click.option(
    "--snapshot",
    type=click.Path(path_type=Path, readable=False),
    metavar="FILE",
    help="Read what the poller left; needs nothing else.",
)
@json_option
@pass_app
def status_command(
    app: AppContext,
    subjects: tuple[str, ...],
    sessions: tuple[str, ...],
    pipelines: tuple[str, ...],
    standings: tuple[str, ...],
    failed: bool,
    since: datetime | None,
    limit: int | None,
    watch: float | None,
    as_tsv: bool,
    snapshot: Path | None,
    as_json: bool,
) -> None:
    """Show what is done, what runs, what waits and why, what failed, and how long the rest takes.

    It changes nothing, and needs neither Redis nor the right to write. --subject, --session and --pipeline narrow the
    whole picture; with any filter the runs that match are listed as well.
    """
    from neuroflow.cli.status_filters import Asked

    asked = Asked(subjects, sessions, pipelines, standings, failed, since)
    _refuse_together(asked, limit, snapshot, watch=watch is not None, as_json=as_json, as_tsv=as_tsv)
    source = _Source(app, asked, snapshot, limit=limit, for_people=not as_json)
    if as_tsv:
        _write_tsv(app.config(check_files=False), asked)
    elif watch is not None:
        from neuroflow.cli.status_watch import watch_status

        watch_status(source.look, seconds=watch)
    elif as_json:
        write_json(source.look()[0])
    else:
        from neuroflow.cli.status_screen import print_screen

        found, name = source.look()
        print_screen(found, now=_now(), source=name)


@dataclass
class _Source:
    """Where the picture comes from: the database, or a snapshot."""

    app: AppContext
    asked: Asked
    snapshot: Path | None
    limit: int | None
    for_people: bool

    def look(self) -> tuple[dict[str, Any], str]:
        """Return the picture as a document, and the file that it was read from, if any."""
        if self.snapshot is not None:
            from neuroflow.views.status_snapshot import read_snapshot

            return read_snapshot(self.snapshot), str(self.snapshot)
        from neuroflow.errors import StateError
        from neuroflow.views.status import Question, read_status
        from neuroflow.views.status_document import document

        config = self.app.config(check_files=False)
        wanted = self.asked.run_filter()
        lists_runs = wanted.lists_runs or self.limit is not None
        limit = _SCREEN_RUNS if self.limit is None and self.for_people else self.limit
        try:
            found = document(read_status(config, Question(wanted, lists_runs, limit)))
            return (found | _cells(config, wanted, limit) if wanted.words else found), ""
        except StateError as error:
            if lists_runs:
                raise
            return _snapshot_instead(config, error)


def _cells(config: NeuroflowConfig, wanted: RunFilter, limit: int | None) -> dict[str, Any]:
    """Return the subjects and sessions that have no run, or whose results are out of date, where that is asked for."""
    from dataclasses import replace
    from itertools import islice

    from neuroflow.views.status_cells import each_cell

    cells = each_cell(config, replace(wanted, standings=()))
    found = [
        {"pipeline": one.pipeline, "scope": one.scope, "status": one.status, "run": one.run and one.run.run}
        for one in islice(cells, limit)
    ]
    return {"cells": found}


def _snapshot_instead(config: NeuroflowConfig, error: Exception) -> tuple[dict[str, Any], str]:
    """Return the installation's snapshot where its database can't be read; it says how old it is."""
    from neuroflow.errors import UsageError
    from neuroflow.views.status_snapshot import read_snapshot, snapshot_path

    path = snapshot_path(config)
    try:
        found = read_snapshot(path)
    except UsageError:
        raise error from None
    click.echo(f"{escaped(str(error))}; this is its snapshot", err=True)
    return found, str(path)


def _refuse_together(
    asked: Asked, limit: int | None, snapshot: Path | None, *, watch: bool, as_json: bool, as_tsv: bool
) -> None:
    from neuroflow.errors import UsageError

    forms = [name for name, given in (("--json", as_json), ("--tsv", as_tsv), ("--watch", watch)) if given]
    if len(forms) > 1:
        raise UsageError(f"{forms[0]} and {forms[1]} exclude each other")
    filters = [asked.subjects, asked.sessions, asked.pipelines, asked.standings, asked.failed, asked.since, limit]
    if snapshot is not None and (as_tsv or any(filters)):
        raise UsageError(
            "--snapshot shows the whole picture as it was left: it can't be narrowed, and holds no single runs",
            hint="without --snapshot the database is asked",
        )


def _write_tsv(config: NeuroflowConfig, asked: Asked) -> None:
    from neuroflow.cli.status_tsv import write_tsv

    write_tsv(config, asked.run_filter())


def _now() -> datetime:
    from datetime import UTC, datetime

    return datetime.now(UTC)
