"""`neuroflow run`: one Celery worker or beat in the foreground, for a service manager."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

import click

from neuroflow.cli.arguments import examples
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.up_services import FRUGAL, QUEUES, child_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from neuroflow.config import NeuroflowConfig

_LEVELS = click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False)
_level_option = click.option("--loglevel", type=_LEVELS, help="Default: logging.level.")


@click.group("run", epilog=examples("neuroflow run worker --queues bids,processing", "neuroflow run beat"))
def run_group() -> None:
    """Run a worker or beat by itself; `neuroflow up` runs all of them."""


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
    return ("worker", f"--queues={','.join(names)}", f"--concurrency={size}", *FRUGAL, _level(config, level))


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


def _execute(config: NeuroflowConfig, arguments: Sequence[str]) -> NoReturn:
    """Become Celery, so that signals and the exit code are its own."""
    import os

    from neuroflow.orchestrator.folders import make_folders

    make_folders(config)
    command = [sys.executable, "-m", "celery", "-A", "neuroflow.workers.celery_app", *arguments]
    sys.stdout.flush()
    os.execve(sys.executable, command, child_environment(config, os.environ, terminal=sys.stderr.isatty()))  # noqa: S606
