"""What `neuroflow up` runs: an embedded Redis, one worker for all queues, and beat."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from neuroflow.cli.supervised_child import Service

if TYPE_CHECKING:
    from collections.abc import Mapping

    from neuroflow.cli.embedded_redis import RedisFolder
    from neuroflow.config import NeuroflowConfig

QUEUES = ("workflow", "discovery", "bids", "processing", "heavy_processing", "default")
# Celery lets the first two override everything, the configuration included; the others are for this process alone.
_LEFT_OUT = ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
# Workers needn't know of each other. Their heartbeat is for monitors such as Flower, which take its pace from it.
FRUGAL = ("--without-gossip", "--without-mingle", "--heartbeat-interval=30")


def child_environment(config: NeuroflowConfig, environ: Mapping[str, str], *, terminal: bool) -> dict[str, str]:
    """Return the environment of worker and beat: they load the same configuration."""
    environment = {name: value for name, value in environ.items() if name not in _LEFT_OUT}
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
    from neuroflow.cli.up_health import beat_check, worker_check
    from neuroflow.workers.ping import UP_WORKER

    celery = (sys.executable, "-m", "celery", "-A", "neuroflow.workers.celery_app")
    level = f"--loglevel={config.logging.level}"
    schedule = config.paths.state_dir / "celerybeat-schedule"
    worker = (*celery, "worker", f"--hostname={UP_WORKER}@%h", f"--queues={','.join(QUEUES)}", *FRUGAL, level)
    found = []
    if redis is not None:
        found.append(Service("redis", redis.command(), environment, ready=redis.answers, check=redis.answers))
    return [
        *found,
        # SIGQUIT ends a worker without waiting for its tasks, which then go back to their queues.
        Service(
            "worker",
            worker,
            environment,
            quit_signal=quit_signal,
            check=worker_check(config),
            nice=config.celery.nice,
        ),
        Service("beat", (*celery, "beat", f"--schedule={schedule}", level), environment, check=beat_check(config)),
    ]
