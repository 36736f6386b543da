"""The Celery application: queues, routes, priorities, beat; found as `app` without a running broker."""

from __future__ import annotations

import gc
import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import structlog
from celery import Celery
from celery.schedules import crontab
from celery.signals import setup_logging, worker_init
from kombu.entity import Exchange, Queue

from neuroflow import log as logs
from neuroflow.config import NeuroflowConfig
from neuroflow.orchestrator.registry import routing_key
from neuroflow.sharing import share

if TYPE_CHECKING:
    from neuroflow.orchestrator.services import Services

log = structlog.get_logger(__name__)

EXCHANGE = Exchange("neuroflow", type="direct")  # type: ignore[no-untyped-call]
# The highest priority of each queue. On Redis 0 is the most urgent and 9 the least.
QUEUES: dict[str, int | None] = {
    "workflow": 10,
    "discovery": 8,
    "bids": 5,
    "processing": 4,
    "heavy_processing": 2,
    "default": None,
}
DEFAULT_HIGHEST = 5  # of a queue without one of its own
NOTIFY_SECONDS = 60.0
RESULT_SECONDS = 7 * 24 * 3600
# Redis hands an unacknowledged message out again after this; shorter than the hard limit, it would run a task twice.
VISIBILITY_SLACK_SECONDS = 3600
# Redis tells of a new message at once; this is only how often an idle worker asks anew, which costs CPU (s).
IDLE_POLL_SECONDS = 5.0
# Memory that a task left behind goes back to the login node after so many tasks of one pool process.
TASKS_PER_CHILD = 500
# How often beat looks up although nothing is due (s): `neuroflow up` takes a beat that doesn't for a hung one. More
# often than that looks at beat, six times within `celery.hung_seconds`.
BEAT_LOOK_SECONDS = 30.0
BEAT_LOOKS = 8
_TASKS = "neuroflow.workers.tasks"
_STAGES = "neuroflow.workers.workflow_tasks"


def redis_priority(priority: int) -> int:
    """Turn a priority of the design (10 = first) into Redis' own (0 = first, 9 = last)."""
    return max(0, min(9, 10 - priority))


def message_priority(queue: str, priority: int) -> int:
    """Return the priority of a run's message: the queue's highest for a run that goes first, and less for others.

    What waits in a queue is at most `workflow.max_concurrent`; the order of runs is made before, by `choose_dispatch`.
    """
    highest = QUEUES.get(queue)
    steps = 0 if priority > 0 else 1 if priority == 0 else 2
    return max(1, (highest if highest is not None else DEFAULT_HIGHEST) - steps)


def create_celery_app(config: NeuroflowConfig | None = None) -> Celery:
    """Build the application from a configuration; without one, from the configuration that is found."""
    config = config or NeuroflowConfig.find_and_load()
    if config.paths.group is not None:
        share()
    # Celery lets these two override everything, even our own broker.
    for name in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"):
        os.environ.pop(name, None)
    app = Celery("neuroflow", include=[_TASKS, _STAGES])
    app.conf.update(_settings(config))
    app.conf.beat_schedule = beat_schedule(config)
    app.neuroflow_config = config
    return app


@lru_cache(maxsize=1)
def get_celery_app() -> Celery:
    """Return this process's application."""
    return create_celery_app()


@setup_logging.connect  # type: ignore[untyped-decorator]
def _configure_logging(**_: Any) -> None:
    """Write worker and beat logs as the configuration says; Celery then leaves them alone."""
    logs.configure(get_celery_app().neuroflow_config.logging, service="celery")


@worker_init.connect  # type: ignore[untyped-decorator]
def _load_before_forking(**_: Any) -> None:
    """Load what tasks need while there is one process: its pool shares that memory, until something writes to it."""

    gc.collect()
    gc.freeze()  # the collector of each child would write to all of it


@worker_init.connect  # type: ignore[untyped-decorator]
def _tell_configuration(**_: Any) -> None:
    """Say at once which configuration a worker has: its first task may be long in coming after a restart."""
    from neuroflow.core.database import Database
    from neuroflow.core.state import StateManager
    from neuroflow.errors import StateError
    from neuroflow.orchestrator.keys import WORKER_CONFIG_KEY

    config = get_celery_app().neuroflow_config
    # Closed before the pool forks, which must not share a connection.
    database = Database.from_config(config)
    try:
        StateManager(database).set_value(WORKER_CONFIG_KEY, {"digest": config.digest})
    except StateError as error:
        log.info("worker.configuration_not_told", error=str(error))  # the first task does it
    finally:
        database.close()


def get_services() -> Services:
    """Return this process's services, built at the first task."""
    return _services(os.getpid())


@lru_cache(maxsize=1)
def _services(_pid: int) -> Services:
    # By pid: a forked pool process must not use its parent's database connections.
    from neuroflow.orchestrator.keys import WORKER_CONFIG_KEY
    from neuroflow.orchestrator.services import Services

    services = Services.from_config(get_celery_app().neuroflow_config)
    services.state.set_value(WORKER_CONFIG_KEY, {"digest": services.config.digest})
    return services


def _settings(config: NeuroflowConfig) -> dict[str, Any]:
    url = config.redis_url()
    visibility = config.celery.task_time_limit + VISIBILITY_SLACK_SECONDS
    transport = {
        "visibility_timeout": visibility,
        "priority_steps": list(range(10)),
        "queue_order_strategy": "priority",
        "polling_interval": IDLE_POLL_SECONDS,
    }
    return {
        "broker_url": url,
        "result_backend": url,
        "task_queues": [Queue(name, EXCHANGE, routing_key=routing_key(name)) for name in QUEUES],  # type: ignore[no-untyped-call]
        "task_default_queue": "default",
        "task_default_exchange": EXCHANGE.name,
        "task_default_routing_key": "default",
        "task_default_priority": redis_priority(5),
        "task_queue_max_priority": 10,
        "task_routes": _routes(),
        "broker_transport_options": transport,
        "result_backend_transport_options": {"visibility_timeout": visibility},
        "visibility_timeout": visibility,
        "broker_connection_retry_on_startup": True,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_track_started": True,
        "worker_prefetch_multiplier": 1,
        "worker_concurrency": config.celery.worker_concurrency,
        # Both take effect between two tasks: none is cut off.
        "worker_max_tasks_per_child": TASKS_PER_CHILD,
        "worker_max_memory_per_child": config.celery.worker_max_memory_mb * 1024,  # KiB
        "worker_hijack_root_logger": False,
        "task_soft_time_limit": config.celery.task_soft_time_limit,
        "task_time_limit": config.celery.task_time_limit,
        "result_expires": RESULT_SECONDS,
        "result_extended": True,
        "timezone": "UTC",
        "enable_utc": True,
        # Written with everything that is sent: nothing is sent twice after a crash, and the file tells that beat works.
        "beat_sync_every": 1,
        "beat_schedule_filename": str(config.paths.state_dir / "celerybeat-schedule"),
        "beat_scheduler": "neuroflow.workers.beat:WatchedScheduler",
        "beat_max_loop_interval": min(BEAT_LOOK_SECONDS, config.celery.hung_seconds / BEAT_LOOKS),
    }


def _route(queue: str) -> dict[str, Any]:
    route: dict[str, Any] = {"queue": queue, "routing_key": routing_key(queue)}
    highest = QUEUES[queue]
    if highest is not None:
        route["priority"] = redis_priority(highest)
    return route


def _routes() -> dict[str, dict[str, Any]]:
    return {
        f"{_STAGES}.run_master_workflow": _route("workflow"),
        f"{_STAGES}.run_discovery_stage": _route("discovery"),
        f"{_STAGES}.run_bids_stage": _route("bids"),
        f"{_STAGES}.run_qsiprep_stage": _route("heavy_processing"),
        f"{_STAGES}.run_qsirecon_stage": _route("processing"),
        f"{_STAGES}.run_qsiparc_stage": _route("processing"),
        f"{_TASKS}.run_bids_conversion": _route("bids"),
        f"{_TASKS}.scan_directories": _route("discovery"),
        f"{_TASKS}.validate_session": _route("discovery"),
        f"{_TASKS}.cleanup_stale_runs": _route("default"),
        f"{_TASKS}.maintain": _route("default"),
        f"{_TASKS}.poll_jobs": _route("workflow"),
        f"{_TASKS}.send_notifications": _route("default"),
    }


def beat_schedule(config: NeuroflowConfig) -> dict[str, dict[str, Any]]:
    """Return what beat sends, and when."""
    return {
        "master-workflow": {
            "task": f"{_STAGES}.run_master_workflow",
            "schedule": crontab.from_string(config.workflow.schedule),
            "options": {"queue": "workflow"},
        },
        "scan-directories": {
            "task": f"{_TASKS}.scan_directories",
            "schedule": crontab(minute="0"),
            "options": {"queue": "discovery"},
        },
        "cleanup-stale-runs": {
            "task": f"{_TASKS}.cleanup_stale_runs",
            "schedule": crontab(minute="0", hour="3"),
            "options": {"queue": "default"},
        },
        "maintain": {
            "task": f"{_TASKS}.maintain",
            "schedule": crontab(minute="30"),  # what is due is up to the task
            "options": {"queue": "default", "expires": 3600},
        },
        "poll-jobs": {
            "task": f"{_TASKS}.poll_jobs",
            "schedule": config.cluster.poll_seconds,
            # A poll that waited longer than the next one is due has nothing to add.
            "options": {"queue": "workflow", "expires": max(config.cluster.poll_seconds * 2, 10.0)},
        },
        "send-notifications": {
            "task": f"{_TASKS}.send_notifications",
            "schedule": NOTIFY_SECONDS,
            "options": {"queue": "default", "expires": NOTIFY_SECONDS * 2},
        },
    }


def __getattr__(name: str) -> Any:
    # `celery -A neuroflow.workers.celery_app` asks for `app`; importing this module needs no configuration.
    if name == "app":
        app = get_celery_app()
        app.set_default()
        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
