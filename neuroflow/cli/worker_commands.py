"""`neuroflow run`: one Celery worker, beat or Flower in the foreground, for a service manager."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

import click

from neuroflow.cli.arguments import examples
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.doctor_command import ask_doctor, no_doctor_option
from neuroflow.cli.up_services import FRUGAL, QUEUES, child_environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from neuroflow.config import NeuroflowConfig

BEAT_SLACK_SECONDS = 120.0
_LEVELS = click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False)
_level_option = click.option("--loglevel", type=_LEVELS, help="Default: logging.level.")


@click.group("run", epilog=examples("neuroflow run worker --queues bids,processing", "neuroflow run beat"))
def run_group() -> None:
    """Run a worker, beat or Flower by itself; `neuroflow up` runs workers and beat."""


@run_group.command("worker", epilog=examples("neuroflow run worker --concurrency 2 --queues bids,processing"))
@click.option("--concurrency", type=click.IntRange(min=1), help="Processes; default: celery.worker_concurrency.")
@click.option("--queues", default=",".join(QUEUES), show_default=True, help="Queues to serve, with commas between.")
@click.option("--name", help="Its name before the `@`, where several run on one host; default: celery.")
@_level_option
@no_doctor_option
@pass_app
def worker(
    app: AppContext, concurrency: int | None, queues: str, name: str | None, loglevel: str | None, no_doctor: bool
) -> None:
    """Run one Celery worker in this process."""
    config = app.config()
    arguments = worker_arguments(config, concurrency=concurrency, queues=queues, name=name, level=loglevel)
    ask_doctor(config, skip=no_doctor)
    _execute(config, arguments)


@run_group.command("beat", epilog=examples("neuroflow run beat"))
@click.option("--alive", is_flag=True, help="Only tell whether it works, by its last tick; exit code 1 if it doesn't.")
@_level_option
@pass_app
def beat(app: AppContext, alive: bool, loglevel: str | None) -> None:
    """Run Celery beat, which starts what is due by the clock; exactly one per installation."""
    config = app.config(check_files=not alive)
    if alive:
        _show_beat(config)
        return
    _execute(config, beat_arguments(config, level=loglevel))


@run_group.command(
    "flower",
    epilog=examples("neuroflow run flower", "neuroflow run flower --port 5555"),
)
@click.option("--port", type=click.IntRange(1, 65_535), help="Listen on this TCP port; default: on a Unix socket.")
@click.option("--address", default="127.0.0.1", show_default=True, help="With --port: where to listen.")
@click.option("--open", "is_open", is_flag=True, help="Allow an address that other machines reach, unencrypted.")
@pass_app
def flower(app: AppContext, port: int | None, address: str, is_open: bool) -> None:
    """Run Flower, a web page of workers and tasks, in this process.

    Whoever reaches it can stop workers. So it listens on a socket that only you can enter; on a port it asks for a
    password, which is made at the first start and kept in `flower/password` of paths.state_dir.
    """
    from neuroflow.cli.flower import flower_plan

    config = app.config()
    plan = flower_plan(config, port=port, address=address, is_open=is_open)
    click.echo(plan.how)
    _execute(config, plan.arguments, environment=plan.environment)


def worker_arguments(
    config: NeuroflowConfig, *, concurrency: int | None, queues: str, level: str | None, name: str | None = None
) -> tuple[str, ...]:
    """Return Celery's arguments for a worker.

    Raises:
        UsageError: for a queue that nothing is ever sent to, or a name that can't be one.
    """
    from neuroflow.errors import UsageError

    names = [name.strip() for name in queues.split(",") if name.strip()]
    unknown = [name for name in names if name not in QUEUES]
    if unknown or not names:
        raise UsageError(f"--queues: no queue '{', '.join(unknown)}'; there are: {', '.join(QUEUES)}")
    if name is not None and not (name.isascii() and name.replace("-", "").isalnum()):
        raise UsageError(f"--name: {name!r} may hold letters, digits and '-' only")
    size = concurrency or config.celery.worker_concurrency
    node = () if name is None else (f"--hostname={name}@%h",)
    return ("worker", f"--queues={','.join(names)}", f"--concurrency={size}", *node, *FRUGAL, _level(config, level))


def beat_arguments(config: NeuroflowConfig, *, level: str | None) -> tuple[str, ...]:
    """Return Celery's arguments for beat; its pid file refuses a second one."""
    folder = config.paths.state_dir
    return (
        "beat",
        f"--schedule={folder / 'celerybeat-schedule'}",
        f"--pidfile={folder / 'celerybeat.pid'}",
        _level(config, level),
    )


def _show_beat(config: NeuroflowConfig) -> None:
    """Tell how long ago beat wrote its schedule, which it does with everything that it sends."""
    import time

    # Python's dbm adds an ending of its own to the name, or none.
    found = config.paths.state_dir.glob("celerybeat-schedule*")
    last = max((path.stat().st_mtime for path in found), default=None)
    if last is None:
        click.echo("beat has never run here", err=True)
        raise click.exceptions.Exit(1)
    ago, allowed = time.time() - last, 3 * config.cluster.poll_seconds + BEAT_SLACK_SECONDS
    click.echo(f"last tick of beat: {ago:.0f} s ago (at most {allowed:.0f} s are well)")
    if ago > allowed:
        raise click.exceptions.Exit(1)


def _level(config: NeuroflowConfig, level: str | None) -> str:
    return f"--loglevel={level or config.logging.level}"


def _execute(
    config: NeuroflowConfig, arguments: Sequence[str], *, environment: Mapping[str, str] | None = None
) -> NoReturn:
    """Become Celery, so that signals and the exit code are its own."""
    import os

    from neuroflow.orchestrator.folders import make_folders

    make_folders(config)
    command = [sys.executable, "-m", "celery", "-A", "neuroflow.workers.celery_app", *arguments]
    sys.stdout.flush()
    variables = child_environment(config, os.environ, terminal=sys.stderr.isatty()) | dict(environment or {})
    os.execve(sys.executable, command, variables)  # noqa: S606
