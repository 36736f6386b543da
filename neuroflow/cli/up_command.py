"""`neuroflow up`: Redis, worker and beat of one installation, supervised in one process."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

import click

from neuroflow.cli.arguments import examples
from neuroflow.cli.doctor_command import ask_doctor, no_doctor_option

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from neuroflow.cli.embedded_redis import RedisFolder
    from neuroflow.cli.signs_of_life import SignsOfLife
    from neuroflow.cli.supervised_child import LineSink, Service
    from neuroflow.cli.up_lock import UpLock
    from neuroflow.cli.up_monitor import UpMonitor
    from neuroflow.config import NeuroflowConfig

NOT_RUNNING = 3  # as init scripts say it
UNWELL = 4
# So many checks fit into the time after which a silent child is taken for a hung one.
_CHECKS_UNTIL_HUNG = 6


@click.command("up", epilog=examples("neuroflow up", "neuroflow up --status"))
@click.option(
    "--status", is_flag=True, help=f"Tell whether it runs, and how: exit code {NOT_RUNNING} if not, {UNWELL} if unwell."
)
@click.option("--json", "as_json", is_flag=True, help="With --status: for programs.")
@click.option(
    "--stop-seconds",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    help="How long running tasks may take to end when it is stopped, or was killed and is started again (s).",
)
@click.option(
    "--log-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write all output to this file, rotated as `logging.max_mb` and `logging.keep` say.",
)
@click.option(
    "--take-over",
    is_flag=True,
    help="End at once what a killed `neuroflow up` left behind, or take the lock of a host that is gone.",
)
@no_doctor_option
@click.pass_context
def up_command(
    context: click.Context,
    status: bool,
    as_json: bool,
    stop_seconds: float,
    log_file: Path | None,
    take_over: bool,
    no_doctor: bool,
) -> None:
    """Run everything in one process: the embedded Redis, a worker for all queues, and beat.

    SIGTERM or Ctrl-C stops them in order; a second one at once. SIGHUP restarts worker and beat with the present
    configuration, unless that is broken.
    """
    from neuroflow.config import NeuroflowConfig
    from neuroflow.errors import UsageError
    from neuroflow.sharing import share

    if as_json and not status:
        raise UsageError("--json goes with --status")
    config_path = context.obj.config_path
    config = NeuroflowConfig.find_and_load(config_path, check_files=not status)
    if config.paths.group is not None:
        share()
    ask_doctor(config, skip=status or no_doctor)
    if status:
        from neuroflow.cli.up_status import show_status

        context.exit(show_status(config, as_json=as_json))
    with _output(config, log_file) as output:
        context.exit(
            _run(
                config, config_path, output=output, stop_seconds=stop_seconds, take_over=take_over, quiet=bool(log_file)
            )
        )


@contextmanager
def _output(config: NeuroflowConfig, log_file: Path | None) -> Iterator[LineSink]:
    """Send the logs of this process, and its children's lines, to standard output and error or to the file."""
    from neuroflow import log
    from neuroflow.errors import ConfigError
    from neuroflow.rotation import RotatedFile, RotatedText

    if log_file is None:
        log.configure(config.logging, service="up")
        yield sys.stdout.buffer
        return
    try:
        file = RotatedFile(log_file, max_bytes=int(config.logging.max_mb * 1e6), kept=config.logging.keep)
    except OSError as error:
        raise ConfigError(
            f"--log-file: '{log_file}' can't be written: {error.strerror}", hint="name a file in a folder of your own"
        ) from error
    log.configure(config.logging, service="up", stream=cast("TextIO", RotatedText(file, prefix="up     | ")))
    yield file


def _run(
    config: NeuroflowConfig,
    config_path: Path | None,
    *,
    output: LineSink,
    stop_seconds: float,
    take_over: bool,
    quiet: bool,
) -> int:
    from neuroflow.cli.embedded_redis import prepare_redis_folder
    from neuroflow.cli.signs_of_life import SignsOfLife
    from neuroflow.cli.supervise import Supervisor, Timing
    from neuroflow.cli.up_lock import hold_up_lock
    from neuroflow.orchestrator.folders import make_folders

    make_folders(config)
    terminal = sys.stderr.isatty() and not quiet
    with hold_up_lock(config.paths.state_dir, take_over=take_over, left_over_seconds=stop_seconds) as lock:
        redis = prepare_redis_folder(config) if config.redis_socket() is not None else None
        interval = config.celery.hung_seconds / _CHECKS_UNTIL_HUNG
        signs = SignsOfLife(interval=interval)
        monitor = _monitor(config, lock, signs)

        def reload() -> Sequence[Service] | None:
            fresh = _reloaded(config, config_path)
            if fresh is None:
                return None
            monitor.reloaded(fresh.digest)
            return _services(fresh, redis, terminal=terminal)

        try:
            supervisor = Supervisor(
                _services(config, redis, terminal=terminal),
                output=output,
                timing=Timing(stop=stop_seconds, hung=config.celery.hung_seconds, check=interval),
                inherited=(lock.descriptor,) if redis is None else (lock.descriptor, redis.lock),
                on_change=monitor.changed,
                on_tick=monitor.ticked,
                reload=reload,
            )
            return supervisor.run()
        finally:
            signs.stop()
            monitor.notifier.send(STOPPING="1")
            if redis is not None:
                redis.close()


def _services(config: NeuroflowConfig, redis: RedisFolder | None, *, terminal: bool) -> list[Service]:
    import os
    import signal

    from neuroflow.cli.up_services import child_environment, services

    environment = child_environment(config, os.environ, terminal=terminal)
    return services(config, environment, redis=redis, quit_signal=signal.SIGQUIT)


def _monitor(config: NeuroflowConfig, lock: UpLock, signs: SignsOfLife) -> UpMonitor:
    """Build the monitor, and say at once where a Redis that isn't ours is silent."""
    import os

    from neuroflow.cli.sd_notify import Notifier
    from neuroflow.cli.up_health import RedisCheck
    from neuroflow.cli.up_monitor import EXTERNAL_REDIS, UpMonitor

    notifier = Notifier.from_environment(os.environ)
    if config.redis_socket() is not None:
        return UpMonitor(lock, notifier, config.digest)
    redis = RedisCheck(config.redis_url())
    signs.watch(EXTERNAL_REDIS, redis.answers)
    signs.ask_all()
    return UpMonitor(lock, notifier, config.digest, redis=redis, signs=signs)


def _reloaded(config: NeuroflowConfig, config_path: Path | None) -> NeuroflowConfig | None:
    """Load the configuration as it is now; None, and a line in the log, where it can't be taken."""
    import structlog

    from neuroflow.config import NeuroflowConfig
    from neuroflow.errors import NeuroflowError

    log = structlog.get_logger(__name__)
    try:
        fresh = NeuroflowConfig.find_and_load(config.files[0] if config.files else config_path)
    except NeuroflowError as error:
        log.error("up.reload_refused", error=str(error), hint="the services keep the configuration that they have")
        return None
    for key, before, now in (
        ("paths.state_dir", config.paths.state_dir, fresh.paths.state_dir),
        ("redis.url", config.redis_url(), fresh.redis_url()),
    ):
        if before != now:
            log.error("up.reload_refused", error=f"{key} has been changed", hint="stop `neuroflow up` and start it")
            return None
    return fresh
