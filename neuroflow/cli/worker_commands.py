"""`neuroflow run`: one Celery worker, beat or Flower in the foreground, for a service manager."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

import click

from neuroflow.cli.arguments import examples
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.up_command import QUEUES, child_environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from neuroflow.config import NeuroflowConfig

_LEVELS = click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False)
_level_option = click.option("--loglevel", type=_LEVELS, help="Default: logging.level.")


@click.group("run", epilog=examples("neuroflow run worker --queues bids,processing", "neuroflow run beat"))
def run_group() -> None:
    """Run a worker, beat or Flower by itself; `neuroflow up` runs workers and beat."""


@run_group.command("worker", epilog=examples("neuroflow run worker --concurrency 2 --queues bids,processing"))
@click.option("--concurrency", type=click.IntRange(min=1), help="Processes; default: celery.worker_concurrency.")
@click.option("--queues", default=",".join(QUEUES), show_default=True, help="Queues to serve, with commas between.")
@_level_option
@pass_app
def worker(app: AppContext, concurrency: int | None, queues: str, loglevel: str | None) -> None:
    """Run one Celery worker in this process."""
    config = app.config()
    _execute(config, worker_arguments(config, concurrency=concurrency, queues=queues, level=loglevel))


@run_group.command("beat", epilog=examples("neuroflow run beat"))
@_level_option
@pass_app
def beat(app: AppContext, loglevel: str | None) -> None:
    """Run Celery beat, which starts what is due by the clock; exactly one per installation."""
    config = app.config()
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
    config: NeuroflowConfig, *, concurrency: int | None, queues: str, level: str | None
) -> tuple[str, ...]:
    """Return Celery's arguments for a worker.

    Raises:
        UsageError: for a queue that nothing is ever sent to.
    """
    from neuroflow.errors import UsageError

    names = [name.strip() for name in queues.split(",") if name.strip()]
    unknown = [name for name in names if name not in QUEUES]
    if unknown or not names:
        raise UsageError(f"--queues: no queue '{', '.join(unknown)}'; there are: {', '.join(QUEUES)}")
    size = concurrency or config.celery.worker_concurrency
    return ("worker", f"--queues={','.join(names)}", f"--concurrency={size}", _level(config, level))


def beat_arguments(config: NeuroflowConfig, *, level: str | None) -> tuple[str, ...]:
    """Return Celery's arguments for beat; its pid file refuses a second one."""
    folder = config.paths.state_dir
    return (
        "beat",
        f"--schedule={folder / 'celerybeat-schedule'}",
        f"--pidfile={folder / 'celerybeat.pid'}",
        _level(config, level),
    )


def _level(config: NeuroflowConfig, level: str | None) -> str:
    return f"--loglevel={level or config.logging.level}"


def _execute(
    config: NeuroflowConfig, arguments: Sequence[str], *, environment: Mapping[str, str] | None = None
) -> NoReturn:
    """Become Celery, so that signals and the exit code are its own."""
    import os

    from neuroflow.orchestrator.services import make_folders

    make_folders(config)
    command = [sys.executable, "-m", "celery", "-A", "neuroflow.workers.celery_app", *arguments]
    sys.stdout.flush()
    variables = child_environment(config, os.environ, terminal=sys.stderr.isatty()) | dict(environment or {})
    os.execve(sys.executable, command, variables)  # noqa: S606
