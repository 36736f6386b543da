"""Ask what waits in Redis, and which workers are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import redis
import structlog
from kombu.exceptions import InconsistencyError, OperationalError

from neuroflow.metrics.facts import BrokerState
from neuroflow.workers.celery_app import QUEUES, create_celery_app

if TYPE_CHECKING:
    from celery import Celery
    from kombu.connection import Connection

    from neuroflow.config import NeuroflowConfig

log = structlog.get_logger(__name__)

ANSWER_SECONDS = 1.0
# How often an unanswered ping looks up (s). The workers' own 5 s would be waited for to the end.
_LOOK_SECONDS = 0.1
_STEPS = 10  # priority_steps of the application
_SEPARATOR = "\x06\x16"  # kombu's, between a queue's name and a priority other than 0


def answering_workers(config: NeuroflowConfig, *, seconds: float = ANSWER_SECONDS) -> tuple[str, ...] | None:
    """Return the names of the workers that answer in time, None when the broker is away."""
    app = create_celery_app(config)
    try:
        return ping(app, seconds=seconds)
    finally:
        app.close()


def ping(app: Celery, *, seconds: float = ANSWER_SECONDS) -> tuple[str, ...] | None:
    """Return the names of the workers that answer in time, None when the broker is away."""
    try:
        with app.connection_for_write(transport_options={"polling_interval": _LOOK_SECONDS}) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=seconds)
            # Without a limit Celery waits the whole time, for one more answer.
            answers = app.control.ping(timeout=seconds, connection=connection, limit=_listeners(app, connection))
    except (OperationalError, OSError) as error:
        log.debug("broker.away", error=str(error))
        return None
    return tuple(sorted({name for answer in answers for name in answer}))


def _listeners(app: Celery, connection: Connection) -> int | None:
    """Return how many workers are bound to what a ping goes to, None when none is; a killed one may be among them."""
    channel = connection.default_channel
    try:
        bound = channel.get_table(f"{app.control.mailbox.namespace}.pidbox")  # type: ignore[no-untyped-call]
        return len(bound) or None
    except InconsistencyError:  # nobody was ever bound
        return None


def broker_state(app: Celery, *, ask_workers: bool = True) -> BrokerState | None:
    """Return what waits in each queue and how many workers answer, None when Redis is away."""
    try:
        queues = queue_lengths(app)
    except (OperationalError, OSError, redis.RedisError) as error:
        log.debug("broker.away", error=str(error))
        return None
    workers = ping(app) if ask_workers else None
    return BrokerState(queues, None if workers is None else len(workers))


def queue_lengths(app: Celery) -> dict[str, int]:
    """Return how many messages wait in each queue, of all priorities."""
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=ANSWER_SECONDS)
        client = getattr(connection.default_channel, "client", None)
        if client is None:  # kombu's in-memory transport, in tests
            return {}
        keys = [f"{name}{_SEPARATOR}{step}" if step else name for name in QUEUES for step in range(_STEPS)]
        with client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.llen(key)
            lengths = [int(length) for length in pipeline.execute()]
    return {name: sum(lengths[start * _STEPS : (start + 1) * _STEPS]) for start, name in enumerate(QUEUES)}
