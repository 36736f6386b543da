"""`neuroflow recovery`: runs that failed for good, by what they have in common, and what to do about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from neuroflow.cli.arguments import actor, examples, json_option, reason_option, status_of
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.output import escaped, one_line, write_json, write_table
from neuroflow.cli.recovery_report import choose_letters, example_of, grouped, write_details

if TYPE_CHECKING:
    from collections.abc import Sequence

    from neuroflow.domain import FailureClass, RunRecord
    from neuroflow.orchestrator.services import Services

_MOST_SCOPES = 5

_pipeline_option = click.option("--pipeline", metavar="NAME", help="Only this pipeline's.")
_signature_option = click.option("--signature", metavar="HASH", help="Only those with this signature.")
_failure_option = click.option(
    "--failure", metavar="CLASS", type=status_of("FailureClass"), help="Only those of this failure class."
)
_dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing.")
_run_ids = click.argument("run_ids", metavar="RUN...", type=int, nargs=-1, required=True)


@click.group("recovery", epilog=examples("neuroflow recovery list", "neuroflow recovery show 12"))
def recovery_group() -> None:
    """Look at runs that failed for good, run them again, or close them."""


@recovery_group.command("list", epilog=examples("neuroflow recovery list --pipeline qsiprep --json"))
@_pipeline_option
@_signature_option
@_failure_option
@json_option
@pass_app
def list_command(
    app: AppContext, pipeline: str | None, signature: str | None, failure: FailureClass | None, as_json: bool
) -> None:
    """List the runs that wait for a person, those that failed alike together."""
    services = app.services()
    groups = grouped(_letters(services, pipeline, signature, failure))
    if as_json:
        write_json({"schema": 1, "groups": groups})
        return
    rows = [
        (
            len(group.runs),
            group.signature or "(none)",
            group.pipeline,
            group.failure,
            _scopes(group.runs),
            one_line(group.example),
        )
        for group in groups
    ]
    write_table(
        ("runs", "signature", "pipeline", "class", "scopes", "example"), rows, empty="nothing waits for a person"
    )


@recovery_group.command("show", epilog=examples("neuroflow recovery show 3f9a0c12de", "neuroflow recovery show 12"))
@click.argument("what", metavar="SIGNATURE|RUN")
@json_option
@pass_app
def show(app: AppContext, what: str, as_json: bool) -> None:
    """Show what failed alike, with the end of one log."""
    services = app.services()
    letters = choose_letters(services.state, what)
    example = example_of(services, letters)
    if as_json:
        write_json({"schema": 1, "groups": grouped(letters), "example": example})
        return
    for group in grouped(letters):
        write_details(group)
    click.echo(f"example: run {example.run_id}, {escaped(example.log or 'it left no log')}")
    for line in example.tail:
        click.echo(f"  {escaped(line)}")


@recovery_group.command("retry", epilog=examples('neuroflow recovery retry 12 15 --reason "scan exported again"'))
@_run_ids
@_dry_run_option
@reason_option
@pass_app
def retry(app: AppContext, run_ids: tuple[int, ...], dry_run: bool, reason: str) -> None:
    """Run these again, each as a new run; what depends on them follows."""
    services = app.services()
    _run_again(services, _chosen(services, run_ids), dry_run=dry_run, reason=reason)


@recovery_group.command(
    "retry-all", epilog=examples('neuroflow recovery retry-all --signature 3f9a0c12de --reason "new image"')
)
@_pipeline_option
@_signature_option
@_failure_option
@click.option("--yes", is_flag=True, help="Run all of them again, without a filter.")
@_dry_run_option
@reason_option
@pass_app
def retry_all(
    app: AppContext,
    pipeline: str | None,
    signature: str | None,
    failure: FailureClass | None,
    yes: bool,
    dry_run: bool,
    reason: str,
) -> None:
    """Run again whatever waits for a person and matches the filters."""
    from neuroflow.errors import UsageError

    if not (pipeline or signature or failure or yes or dry_run):
        raise UsageError(
            "this would run every failed run again", hint="name --pipeline, --signature or --failure, or say --yes"
        )
    services = app.services()
    letters = _letters(services, pipeline, signature, failure)
    if not letters:
        click.echo("nothing waits for a person" + (" that matches" if pipeline or signature or failure else ""))
        return
    _run_again(services, letters, dry_run=dry_run, reason=reason)


@recovery_group.command("resolve", epilog=examples('neuroflow recovery resolve 12 --reason "no diffusion scan"'))
@_run_ids
@click.option("--reason", required=True, metavar="TEXT", help="Why nothing is to be done; goes into the audit log.")
@pass_app
def resolve(app: AppContext, run_ids: tuple[int, ...], reason: str) -> None:
    """Close failed runs about which nothing is to be done; they stay failed and are listed no more."""
    from neuroflow.errors import UsageError

    if not reason.strip():
        raise UsageError("a resolution needs a reason", hint='--reason "no diffusion scan"')
    services = app.services()
    for run in _chosen(services, run_ids):
        done = services.state.resolve_run(run.id, resolution=reason.strip(), actor=actor())
        click.echo(f"run {run.id} ({run.pipeline} of {run.scope}) " + ("is resolved" if done else "was left alone"))


@recovery_group.command("stats", epilog=examples("neuroflow recovery stats --json"))
@json_option
@pass_app
def stats(app: AppContext, as_json: bool) -> None:
    """Count, per pipeline and failure class, failed attempts, their runs, and the runs that wait for a person."""
    counts = app.services().state.failure_counts()
    if as_json:
        write_json({"schema": 1, "failures": counts})
        return
    rows = [(item.pipeline, item.failure, item.attempts, item.runs, item.dead_letters) for item in counts]
    write_table(("pipeline", "class", "failed attempts", "runs", "waiting"), rows, empty="nothing has failed")


def _letters(
    services: Services, pipeline: str | None, signature: str | None, failure: FailureClass | None
) -> list[RunRecord]:
    if pipeline is not None:
        services.registry.get(pipeline)
    return services.state.dead_letters(pipeline=pipeline, signature=signature, failure=failure)


def _chosen(services: Services, run_ids: Sequence[int]) -> list[RunRecord]:
    """Return the dead letters with these ids; nothing has been changed when one of them is none.

    Raises:
        UsageError: for a run that doesn't wait for a person.
        NotFoundError: when there is no such run.
    """
    from neuroflow.errors import UsageError

    letters = {run.id: run for run in services.state.dead_letters()}
    for run_id in run_ids:
        if run_id not in letters:
            run = services.state.get_run(run_id)
            raise UsageError(
                f"run {run_id} ({run.pipeline} of {run.scope}) does not wait for a person: {_why_not(run)}",
                hint=f"see `neuroflow runs show {run_id}`; `neuroflow runs retry` runs any ended run again",
            )
    return [letters[run_id] for run_id in dict.fromkeys(run_ids)]


def _why_not(run: RunRecord) -> str:
    from neuroflow.domain import RunStatus

    if run.status is not RunStatus.FAILED:
        return f"it is {run.status}"
    if run.superseded:
        return "it is to be run again already"
    if run.resolution:
        return f"it was resolved: {run.resolution}"
    return "a later run took its place"


def _run_again(services: Services, letters: Sequence[RunRecord], *, dry_run: bool, reason: str) -> None:
    for run in letters:
        named = f"run {run.id} ({run.pipeline} of {run.scope})"
        if dry_run:
            click.echo(f"{named} would be run again")
        elif services.state.supersede_run(run.id, reason=reason or f"asked for by {actor()}", actor=actor()):
            click.echo(f"{named} will be run again")
        else:
            click.echo(f"{named} was left alone: someone else has settled it meanwhile")
    holds = services.holds()
    for pipeline in sorted({run.pipeline for run in letters} & holds.keys()):
        click.echo(
            f"{pipeline} is held, and starts nothing before `neuroflow pipeline resume {pipeline}`: "
            + one_line(holds[pipeline])
        )


def _scopes(runs: Sequence[RunRecord]) -> str:
    more = len(runs) - _MOST_SCOPES
    return ", ".join(run.scope for run in runs[:_MOST_SCOPES]) + (f" and {more} more" if more > 0 else "")
