"""`neuroflow services`: the files that keep neuroflow running, filled in for this installation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from neuroflow.cli.arguments import examples
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.output import write_table

if TYPE_CHECKING:
    from neuroflow.cli.services_text import JobShape
    from neuroflow.config import NeuroflowConfig

# Of `up` without conversions of its own, and of a `tick`.
UP_MEMORY_MB = 4000
TICK_MEMORY_MB = 2000
DAY_MINUTES = 24 * 60


EVEN_MINUTES = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)


def _even(_context: click.Context, _option: click.Parameter, minutes: int) -> int:
    """Refuse what cron would make uneven: it begins to count anew with each hour."""
    if minutes not in EVEN_MINUTES:
        allowed = ", ".join(map(str, EVEN_MINUTES))
        raise click.BadParameter(f"{minutes} does not divide the 60 minutes of an hour; allowed: {allowed}")
    return minutes


@click.group("services", epilog=examples("neuroflow services list", "neuroflow services render systemd"))
def services_group() -> None:
    """Render the files that keep neuroflow running: SLURM job, crontab, systemd units."""


@services_group.command("list", epilog=examples("neuroflow services list"))
def list_command() -> None:
    """List what can be rendered."""
    from neuroflow.cli.services_text import KINDS

    rows = [[name, kind.file, kind.title] for name, kind in KINDS.items()]
    write_table(["service", "file", "what it is"], rows, empty="")


@services_group.command(
    "render",
    epilog=examples(
        "neuroflow services render up-job --time-minutes 2880 --output neuroflow-up.sbatch",
        "neuroflow services render systemd --output ~/.config/systemd/user/",
        "neuroflow services render cron --every-minutes 10",
    ),
)
@click.argument("name", metavar="SERVICE")
@click.option("--output", metavar="PATH", help="A new file, or a folder for it.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option(
    "--every-minutes",
    metavar="N",
    type=int,
    default=5,
    show_default=True,
    callback=_even,
    help="Of a tick (min): a number that divides the hour.",
)
@click.option("--time-minutes", type=click.IntRange(min=1), help="Of a job (min).  [default: 1440 for up, 60 for tick]")
@click.option("--cpus", type=click.IntRange(min=1), default=2, show_default=True, help="Cores of the job of up.")
@click.option("--memory-mb", type=click.IntRange(min=1), help="Of a job (MiB).  [default: 4000 for up, 2000 for tick]")
@click.option("--partition", metavar="NAME", help="Of a job; default: cluster.partition.")
@click.option(
    "--stop-seconds",
    type=click.IntRange(min=1),
    default=60,
    show_default=True,
    help="How long running tasks may take to end when `up` is stopped (s).",
)
@pass_app
def render(
    app: AppContext,
    name: str,
    output: str | None,
    force: bool,
    every_minutes: int,
    time_minutes: int | None,
    cpus: int,
    memory_mb: int | None,
    partition: str | None,
    stop_seconds: int,
) -> None:
    """Write a service's file, filled in for this installation, to standard output or into a file."""
    import os

    from neuroflow.cli import services_text as text
    from neuroflow.errors import UsageError

    if name not in text.KINDS:
        raise UsageError(f"there is no service '{name}'; there are: {', '.join(text.KINDS)}")
    config = app.config()
    here = text.Installation.find(config, os.environ)
    if name == "up-job":
        shape = _shape(app, cpus, memory_mb or UP_MEMORY_MB, time_minutes or DAY_MINUTES, partition=partition)
        made = text.up_job(config, here, shape, stop_seconds=stop_seconds)
    elif name == "scrontab":
        shape = _shape(app, 1, memory_mb or TICK_MEMORY_MB, time_minutes or 60, partition=partition)
        made = text.scrontab(config, here, shape, every_minutes=every_minutes)
    elif name == "cron":
        made = text.cron(config, here, every_minutes=every_minutes)
    else:
        made = text.unit(config, here, name, stop_seconds=stop_seconds)
    for program in text.missing_programs(config, os.environ):
        click.echo(f"warning: {program} is not on your PATH, and so not on the service's", err=True)
    _write(made, output, usual_name=text.KINDS[name].file, force=force)


def _shape(app: AppContext, cpus: int, memory_mb: int, time_minutes: int, *, partition: str | None) -> JobShape:
    """Return what the job asks for, and where it goes by the same rules as a pipeline's job.

    Raises:
        UsageError: when the site has no SLURM, or the services would leave work behind on another node.
        PlacementError: when no partition takes it.
    """
    from dataclasses import replace

    from neuroflow.cli.services_text import JobShape
    from neuroflow.config.execution import PipelineSettings
    from neuroflow.config.partitions import job_settings
    from neuroflow.domain import Resources
    from neuroflow.orchestrator.preview import places_now

    config = app.config()
    _check_for_jobs(config)
    services = app.services()
    settings = PipelineSettings(partition=partition)
    pipeline = replace(services.registry.get("qsiparc"), name="the service", settings=settings)
    request = places_now(services).placed(pipeline, Resources(cpus, memory_mb, time_minutes))
    own = job_settings(config.cluster, settings, partition=request.partition or None)
    return JobShape(request.cpus, request.memory_mb, request.time_minutes, own)


def _check_for_jobs(config: NeuroflowConfig) -> None:
    from neuroflow.errors import UsageError

    if config.cluster.kind != "slurm":
        raise UsageError(f"cluster.kind is '{config.cluster.kind}': there is no SLURM to give a job to")
    conversion = config.pipelines.bids_conversion
    if conversion.enabled and conversion.where != "cluster":
        raise UsageError(
            "bids_conversion works inside the worker, on a node that changes with each job: what it has begun there "
            "would be lost",
            hint="set pipelines.bids_conversion.where to `cluster`",
        )


def _write(made: str, output: str | None, *, usual_name: str, force: bool) -> None:
    from neuroflow.errors import UsageError

    if output is None:
        click.echo(made, nl=False)
        return
    target = Path(output).expanduser()
    target = target / usual_name if target.is_dir() or output.endswith("/") else target
    if target.exists() and not force:
        raise UsageError(f"{target} is there already", hint="--force replaces it")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(made, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{target} can't be written: {error.strerror}") from error
    click.echo(f"wrote {target}")
