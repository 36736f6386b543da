"""`neuroflow export`: tables for spreadsheets, R, pandas and Nipoppy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from neuroflow.cli.arguments import SESSION, SUBJECT, examples, json_option, run_status_option, status_of
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.export_output import STANDARD_OUTPUT, Target, write_table
from neuroflow.cli.moments import since_option
from neuroflow.cli.output import escaped

if TYPE_CHECKING:
    from collections.abc import Callable

    from neuroflow.core.pages import RowFilter
    from neuroflow.export.row_tables import Table
    from neuroflow.orchestrator.services import Services

    Decorator = Callable[[Any], Any]


@click.group(
    "export",
    epilog=examples(
        "neuroflow export runs --output runs.tsv",
        "neuroflow export sessions | column -t -s $'\\t' | less -S",
        "neuroflow export regions --layout wide --measure FA --output fa.tsv",
    ),
)
def export_group() -> None:
    """Write tables for other tools: TSV, with a JSON data dictionary beside it."""


def _options(*options: Decorator) -> Decorator:
    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


_who = _options(
    click.option("--subject", "subjects", type=SUBJECT, multiple=True, help="Only this subject; repeatable."),
    click.option("--session", "sessions", type=SESSION, multiple=True, help="Only this session; repeatable."),
)
_pipeline = click.option("--pipeline", "pipelines", metavar="NAME", multiple=True, help="Only this one; repeatable.")
_since = since_option("Only what changed since")
_target = _options(
    click.option(
        "--output",
        "-o",
        default=STANDARD_OUTPUT,
        metavar="FILE",
        help="A .tsv file; its dictionary goes beside it. Default: standard output, without one.",
    ),
    click.option("--force", is_flag=True, help="Replace a file that no export wrote."),
    json_option,
)


def _status_option(enum_name: str) -> Decorator:
    return click.option(
        "--status", "statuses", type=status_of(enum_name), multiple=True, help="Only with this status; repeatable."
    )


def _row_options(status: Decorator) -> Decorator:
    return _options(_who, _pipeline, status, _since, _target)


@export_group.command(
    "sessions",
    epilog=examples("neuroflow export sessions --output sessions.tsv", "neuroflow export sessions --status ready"),
)
@_row_options(_status_option("SessionStatus"))
@pass_app
def sessions_command(app: AppContext, /, output: str, force: bool, as_json: bool, **asked: Any) -> None:
    """Export a line for each session, with how every pipeline stands for it."""
    from neuroflow.export.row_tables import sessions_table

    _write_rows(app, sessions_table, Target.of(output, force=force, as_json=as_json), asked=asked)


@export_group.command(
    "runs",
    epilog=examples("neuroflow export runs --output runs.tsv", "neuroflow export runs --status failed --since 7d"),
)
@_row_options(run_status_option)
@pass_app
def runs_command(app: AppContext, /, output: str, force: bool, as_json: bool, **asked: Any) -> None:
    """Export a line for each run."""
    from neuroflow.export.row_tables import runs_table

    _write_rows(app, runs_table, Target.of(output, force=force, as_json=as_json), asked=asked)


@export_group.command("attempts", epilog=examples("neuroflow export attempts --pipeline qsiprep -o attempts.tsv"))
@_row_options(_status_option("AttemptStatus"))
@pass_app
def attempts_command(app: AppContext, /, output: str, force: bool, as_json: bool, **asked: Any) -> None:
    """Export a line for each attempt: its job, what it asked for and used, how it ended."""
    from neuroflow.export.row_tables import attempts_table

    _write_rows(app, attempts_table, Target.of(output, force=force, as_json=as_json), asked=asked)


@export_group.command("nipoppy", epilog=examples("neuroflow export nipoppy --output processing_status.tsv"))
@_who
@_pipeline
@_target
@pass_app
def nipoppy_command(app: AppContext, /, output: str, force: bool, as_json: bool, **asked: Any) -> None:
    """Export how every pipeline stands for each session, as Nipoppy's processing status file."""
    from neuroflow.export.row_tables import nipoppy_table

    _write_rows(app, nipoppy_table, Target.of(output, force=force, as_json=as_json), asked=asked)


@export_group.command(
    "regions",
    epilog=examples(
        "neuroflow export regions --output regions.tsv",
        "neuroflow export regions --layout wide --atlas 4S156Parcels --measure FA --measure MD -o wide.tsv",
        "neuroflow export regions --statistic mean --statistic std | gzip > regions.tsv.gz",
    ),
)
@click.option(
    "--layout",
    type=click.Choice(("long", "wide")),
    default="long",
    show_default=True,
    help="A line for each region, or one for each session.",
)
@click.option("--atlas", "atlases", metavar="NAME", multiple=True, help="Only this atlas; repeatable.")
@click.option("--measure", "measures", metavar="NAME", multiple=True, help="Only this measure, as FA; repeatable.")
@click.option("--software", metavar="NAME", multiple=True, help="Only maps of this reconstruction; repeatable.")
@click.option(
    "--statistic",
    "statistics",
    metavar="NAME",
    multiple=True,
    default=("mean",),
    show_default=True,
    help="A column of QSIParc's tables; repeatable.",
)
@click.option("--require-complete", is_flag=True, help="Write nothing while a session lacks tables or regions.")
@_who
@_target
@pass_app
def regions_command(
    app: AppContext,
    /,
    layout: str,
    output: str,
    force: bool,
    as_json: bool,
    require_complete: bool,
    subjects: tuple[str, ...],
    sessions: tuple[str, ...],
    **asked: Any,
) -> None:
    """Export the diffusion measures of all regions, from the tables of runs that are done and up to date."""
    from neuroflow.export.region_choice import RegionChoice
    from neuroflow.export.region_tables import region_tables

    target = Target.of(output, force=force, as_json=as_json)
    services = app.services()
    wanted = _filter(services, {"subjects": subjects, "sessions": sessions})
    choice = RegionChoice(**{name: tuple(dict.fromkeys(values)) for name, values in asked.items()})
    made = region_tables(services, wanted, choice, layout=layout, require_complete=require_complete)
    rows = write_table(made.lines, made.entries, table="regions", path=target.path, at_once=False)
    report = made.report
    about = {
        "layout": layout,
        "sessions": report.sessions,
        "excluded": report.excluded,
        "missing": report.missing,
        "problems": report.problems,
        "differences": list(report.differences()),
    }
    target.tell("regions", rows=rows, about=about)
    for line in report.lines():
        click.echo(escaped(line), err=True)


def _write_rows(
    app: AppContext, make: Callable[[Services, RowFilter], Table], target: Target, *, asked: dict[str, Any]
) -> None:
    services = app.services()
    table = make(services, _filter(services, asked))
    rows = write_table(table.lines, lambda: table.entries, table=table.name, path=target.path)
    target.tell(table.name, rows=rows)
    for warning in table.warnings:
        click.echo(f"warning: {escaped(warning)}", err=True)


def _filter(services: Services, asked: dict[str, Any]) -> RowFilter:
    """Return what is asked for, once all that it names is there."""
    from neuroflow.core.pages import RowFilter
    from neuroflow.errors import NotFoundError

    wanted = RowFilter(**asked)
    for name in wanted.pipelines:
        services.registry.get(name)
    for label in wanted.subjects:
        services.state.get_subject(label)
    unknown = set(wanted.sessions) - services.state.known_session_labels(wanted.sessions)
    if unknown:
        raise NotFoundError(f"no subject has a session '{sorted(unknown)[0]}'", hint="see `neuroflow export sessions`")
    return wanted
