"""`neuroflow up`: Redis, worker and beat of one installation, supervised in one process."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from neuroflow.cli.doctor_command import ask_doctor, no_doctor_option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from neuroflow.cli.embedded_redis import RedisFolder
    from neuroflow.cli.supervise import Service
    from neuroflow.config import NeuroflowConfig

QUEUES = ("workflow", "discovery", "bids", "processing", "heavy_processing", "default")
NOT_RUNNING = 3  # as init scripts say it
# Celery lets these override everything, the configuration included.
_OVERRIDING_VARIABLES = ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND")


@click.command("up")
@click.option("--status", is_flag=True, help=f"Tell whether it runs, and how; exit code {NOT_RUNNING} if it doesn't.")
@click.option(
    "--stop-seconds",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    help="How long running tasks may take to end when it is stopped (s).",
)
@no_doctor_option
@click.pass_context
def up_command(context: click.Context, status: bool, stop_seconds: float, no_doctor: bool) -> None:
    """Run everything in one process: the embedded Redis, a worker for all queues, and beat.

    SIGTERM or Ctrl-C stops them in order; a second one at once.
    """
    from neuroflow.config import NeuroflowConfig

    config = NeuroflowConfig.find_and_load(context.obj.config_path, check_files=not status)
    ask_doctor(config, skip=status or no_doctor)
    context.exit(_show_status(config) if status else _run(config, stop_seconds=stop_seconds))


def _run(config: NeuroflowConfig, *, stop_seconds: float) -> int:
    import os
    import signal

    from neuroflow import log
    from neuroflow.cli.embedded_redis import prepare_redis_folder
    from neuroflow.cli.supervise import Supervisor, Timing
    from neuroflow.cli.up_lock import hold_up_lock

    log.configure(config.logging, service="up")
    environment = child_environment(config, os.environ, terminal=sys.stderr.isatty())
    with hold_up_lock(config.paths.state_dir) as lock:
        redis = prepare_redis_folder(config) if config.redis_socket() is not None else None
        try:
            supervisor = Supervisor(
                services(config, environment, redis=redis, quit_signal=signal.SIGQUIT),
                output=sys.stdout.buffer,
                timing=Timing(stop=stop_seconds),
                inherited=(lock.descriptor,) if redis is None else (lock.descriptor, redis.lock),
                on_change=lock.write_status,
            )
            return supervisor.run()
        finally:
            if redis is not None:
                redis.close()


def child_environment(config: NeuroflowConfig, environ: Mapping[str, str], *, terminal: bool) -> dict[str, str]:
    """Return the environment of worker and beat: they load the same configuration."""
    environment = {name: value for name, value in environ.items() if name not in _OVERRIDING_VARIABLES}
    environment["PYTHONUNBUFFERED"] = "1"
    if config.files:
        environment["NEUROFLOW_CONFIG"] = str(config.files[0])
    if terminal and config.logging.format == "auto":
        # Their output is a pipe, but a person reads at its end.
        environment["NEUROFLOW_LOGGING__FORMAT"] = "console"
    return environment


def services(
    config: NeuroflowConfig, environment: Mapping[str, str], *, redis: RedisFolder | None, quit_signal: int
) -> list[Service]:
    """Return what has to run, in the order of starting."""
    from neuroflow.cli.supervise import Service

    celery = (sys.executable, "-m", "celery", "-A", "neuroflow.workers.celery_app")
    level = f"--loglevel={config.logging.level}"
    schedule = config.paths.state_dir / "celerybeat-schedule"
    found = [] if redis is None else [Service("redis", redis.command(), environment, ready=redis.answers)]
    return [
        *found,
        # SIGQUIT ends a worker without waiting for its tasks, which then go back to their queues.
        Service("worker", (*celery, "worker", f"--queues={','.join(QUEUES)}", level), environment, None, quit_signal),
        Service("beat", (*celery, "beat", f"--schedule={schedule}", level), environment),
    ]


def _show_status(config: NeuroflowConfig) -> int:
    from neuroflow.cli.up_lock import read_status

    report = read_status(config.paths.state_dir)
    if report is None:
        click.echo(f"not running ({config.paths.state_dir})")
        return NOT_RUNNING
    click.echo(f"running: process {report.get('pid')} on {report.get('host')} since {report.get('started_at')}")
    for service in report.get("services", []):
        click.echo(_service_line(service))
    return 0


def _service_line(service: Mapping[str, Any]) -> str:
    pid = f", process {service['pid']}" if service.get("pid") else ""
    ended = f", last exit code {service['last_exit']}" if service.get("last_exit") is not None else ""
    return f"  {service.get('name')}: {service.get('state')}{pid}, started {service.get('starts')} times{ended}"
