"""`neuroflow resources`: what pipelines ask for against what they used, and how to ask for what they need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from neuroflow.cli.arguments import examples, json_option
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.moments import since_option
from neuroflow.cli.output import write_json

if TYPE_CHECKING:
    from datetime import datetime

    from neuroflow.config.shapes import KeyPath
    from neuroflow.orchestrator.services import Services
    from neuroflow.views.resources import Sizing

_PARTS = ("memory", "time", "cores")


@click.command(
    "resources",
    epilog=examples(
        "neuroflow resources",
        "neuroflow resources qsiprep --since 2026-01-01 --by sessions",
        "neuroflow resources --apply --dry-run",
        "neuroflow resources qsiprep --only memory --apply",
    ),
)
@click.argument("pipeline", required=False, metavar="[PIPELINE]")
@since_option("Only attempts that ended since")
@click.option(
    "--percentile",
    type=click.FloatRange(min=50, max=99.9),
    default=95,
    show_default=True,
    help="The part of runs that a request is to cover at its first attempt (%).",
)
@click.option(
    "--by", "split", type=click.Choice(["partition", "sessions", "version"]), help="Figures for each as well."
)
@click.option("--only", type=click.Choice(_PARTS), multiple=True, help="Suggest no other changes; may be repeated.")
@json_option
@click.option("--tsv", "as_tsv", is_flag=True, help="Write a table with tabs.")
@click.option("--apply", "apply_", is_flag=True, help="Write the suggestions into the configuration, after a look.")
@click.option("--dry-run", is_flag=True, help="With --apply: show what would change, and change nothing.")
@click.option("--yes", is_flag=True, help="With --apply: don't ask.")
@pass_app
def resources_command(
    app: AppContext,
    pipeline: str | None,
    since: datetime | None,
    percentile: float,
    split: str | None,
    only: tuple[str, ...],
    as_json: bool,
    as_tsv: bool,
    apply_: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Compare what pipelines ask for with what their runs used, and suggest requests that fit.

    A suggestion covers 95 % of the runs that are known, with a margin: 20 % of memory, 25 % of time. docs/resources.md
    tells how it is made, and what it can't know.
    """

    from neuroflow.cli.resources_text import write_sizings, write_tsv
    from neuroflow.errors import UsageError
    from neuroflow.views.resources import Question, sizing_of
    from neuroflow.views.resources_parts import NAMES

    if as_json and as_tsv:
        raise UsageError("--json and --tsv exclude each other", hint="leave one of them out")
    if (dry_run or yes) and not apply_:
        raise UsageError("--dry-run and --yes belong to --apply", hint="neuroflow resources --apply --dry-run")
    if apply_ and (as_json or as_tsv):
        raise UsageError("--apply writes no JSON or TSV", hint="run it without --json and --tsv")
    services = app.services()
    chosen = [services.registry.get(pipeline)] if pipeline is not None else list(services.registry)
    question = Question(
        since=since,
        share=percentile / 100,
        split=split,
        only=only or NAMES,
    )
    sizings = [sizing_of(services, one, question) for one in chosen]
    if as_json:
        write_json({"schema": 1, "percentile": percentile, "since": question.since, "pipelines": sizings})
    elif as_tsv:
        write_tsv(sizings)
    elif apply_:
        _apply(services, sizings, dry_run=dry_run, yes=yes)
    else:
        write_sizings(sizings, question)


def _apply(services: Services, sizings: list[Sizing], *, dry_run: bool, yes: bool) -> None:
    import sys

    from neuroflow.cli.config_change import plan_change, put_in_place
    from neuroflow.errors import UsageError

    wanted: dict[KeyPath, int] = {
        ("pipelines", sizing.pipeline, key): value for sizing in sizings for key, value in sizing.suggestions.items()
    }
    if not wanted:
        click.echo("There is nothing to change: `neuroflow resources` tells why.")
        return
    change = plan_change(services.config, wanted)
    for line in change.obstacles:
        click.echo(f"left as it is: {line}", err=True)
    if not change.edits:
        raise UsageError("none of the suggestions can be written", hint="change them where they are set")
    click.echo(change.diff(), nl=False)
    if dry_run:
        click.echo("Nothing was changed (--dry-run).")
        return
    if not yes and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("nobody is there to ask", hint="look at it with --dry-run, then say --yes")
    if not yes and not click.confirm("Write this?"):
        click.echo("Nothing was changed.")
        return
    for written in put_in_place(change, now=services.clock()):
        click.echo(f"{written.path} is changed; as it was it is kept as {written.backup.name}")
    _tell_what_follows(services)


def _tell_what_follows(services: Services) -> None:
    from neuroflow.cli.up_lock import read_status
    from neuroflow.orchestrator.keys import WORKER_CONFIG_KEY

    click.echo("Runs that have no attempt yet ask for it; a retry keeps the larger request that it was given.")
    running = read_status(services.config.paths.state_dir)
    if running is not None:
        click.echo(f"Next: `kill -HUP {running.get('pid')}` on {running.get('host')}, so that `neuroflow up` reads it.")
    elif services.state.get_value(WORKER_CONFIG_KEY) is not None:
        click.echo("Next: start worker and beat again, if they run: they don't read it by themselves.")
