"""`neuroflow pipeline`: what the pipelines are set to do, and holding them."""

from __future__ import annotations

import click

from neuroflow.cli.arguments import PIPELINE, SESSION, SUBJECT, actor, examples, json_option, reason_option
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.output import escaped, one_line, plain_data, write_json, write_table, write_values
from neuroflow.cli.status_lines import OUTDATED


@click.group("pipeline", epilog=examples("neuroflow pipeline list", "neuroflow pipeline show qsiprep"))
def pipeline_group() -> None:
    """Show, hold and resume pipelines; render a run's job."""


@pipeline_group.command("list", epilog=examples("neuroflow pipeline list"))
@json_option
@pass_app
def list_command(app: AppContext, as_json: bool) -> None:
    """List the pipelines in the order in which they depend on each other."""
    services = app.services()
    holds = services.holds()
    rows = [
        {
            "pipeline": pipeline.name,
            "level": str(pipeline.level),
            "queue": pipeline.queue,
            "where": services.where(pipeline),
            "after": ", ".join(pipeline.depends_on),
            "max concurrent": pipeline.max_concurrent,
            "state": "held" if pipeline.name in holds else "enabled" if pipeline.enabled else "disabled",
            "reason": one_line(holds.get(pipeline.name, "")),
        }
        for pipeline in services.registry
    ]
    if as_json:
        write_json({"schema": 1, "pipelines": rows})
        return
    write_table(list(rows[0]), [list(row.values()) for row in rows], empty="no pipelines")


@pipeline_group.command("show", epilog=examples("neuroflow pipeline show qsirecon"))
@click.argument("name", type=PIPELINE)
@json_option
@pass_app
def show(app: AppContext, name: str, as_json: bool) -> None:
    """Show one pipeline's resources, limits, retries and settings."""
    services = app.services()
    pipeline = services.registry.get(name)
    held = services.holds().get(name)
    values = {
        "pipeline": pipeline.name,
        "title": pipeline.title,
        "level": pipeline.level,
        "enabled": pipeline.enabled,
        "held": held,
        "queue": pipeline.queue,
        "where": services.where(pipeline),
        "depends_on": pipeline.depends_on,
        "max_concurrent": pipeline.max_concurrent,
        "resources": pipeline.resources,
        "retry": pipeline.retry.model_dump(mode="json"),
        "settings": pipeline.settings.model_dump(mode="json"),
    }
    if as_json:
        write_json({"schema": 1, **values})
        return
    for key, value in plain_data(values).items():
        if isinstance(value, dict):
            click.echo(f"{key}:")
            write_values({f"  {inner}": item for inner, item in value.items()})
        else:
            write_values({key: ", ".join(value) if isinstance(value, list) else value})


@pipeline_group.command(
    "render",
    epilog=examples("neuroflow pipeline render qsiprep --subject 01 --session 02", "neuroflow pipeline render 12"),
)
@click.argument("what", metavar="PIPELINE|RUN")
@click.option(
    "--subject", type=SUBJECT, metavar="LABEL", help="With a pipeline's name: the subject of a run that need not exist."
)
@click.option(
    "--session",
    "sessions",
    type=SESSION,
    metavar="LABEL",
    multiple=True,
    help="Its session; of a subject's run several.",
)
@pass_app
def render(app: AppContext, what: str, subject: str | None, sessions: tuple[str, ...]) -> None:
    """Show the job script and the command of a pipeline's run, or of the next attempt of a run by its number.

    Nothing is written or submitted.
    """
    import shlex

    from neuroflow.errors import UsageError
    from neuroflow.orchestrator.attempt_job import JobBuilder
    from neuroflow.orchestrator.preview import preview

    services = app.services()
    if what.isascii() and what.isdigit():
        if subject or sessions:
            raise UsageError(f"run {what} has its subject and session already; leave --subject and --session out")
        job = JobBuilder(services).build(services.state.get_run(int(what)), token="nf-render")  # noqa: S106
    else:
        services.registry.get(what)
        if subject is None:
            raise UsageError(f"{what} needs a subject", hint=f"neuroflow pipeline render {what} --subject LABEL")
        made = preview(services, what, subject=subject, sessions=sessions)
        job = made.job
        for note in made.notes:
            click.echo(f"# {escaped(note)}")
    click.echo(services.cluster(services.where(services.registry.get(job.pipeline))).render(job))
    click.echo("# the command inside the job:")
    click.echo(shlex.join(job.command))


@pipeline_group.command("pause", epilog=examples('neuroflow pipeline pause qsiprep --reason "new image on Monday"'))
@click.argument("name", type=PIPELINE)
@reason_option
@pass_app
def pause(app: AppContext, name: str, reason: str) -> None:
    """Start no more runs of a pipeline; jobs that run already go on."""
    services = app.services()
    services.registry.get(name)
    changed = services.hold(name, reason=reason or f"paused by {actor()}", actor=actor())
    click.echo(f"{name} is held" if changed else f"{name} was held already: {services.holds()[name]}")


@pipeline_group.command("resume", epilog=examples("neuroflow pipeline resume qsiprep"))
@click.argument("name", type=PIPELINE)
@reason_option
@pass_app
def resume(app: AppContext, name: str, reason: str) -> None:
    """Let a held pipeline go on."""
    services = app.services()
    services.registry.get(name)
    changed = services.release(name, reason=reason or f"resumed by {actor()}", actor=actor())
    click.echo(f"{name} goes on" if changed else f"{name} was not held")
    if services.workers_are_outdated():
        click.echo(OUTDATED)
