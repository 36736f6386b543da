"""Ask which workers are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from kombu.exceptions import OperationalError

from neuroflow.workers.celery_app import create_celery_app

if TYPE_CHECKING:
    from celery import Celery

    from neuroflow.config import NeuroflowConfig

log = structlog.get_logger(__name__)

ANSWER_SECONDS = 1.0


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
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=seconds)
            answers = app.control.ping(timeout=seconds, connection=connection)
    except (OperationalError, OSError) as error:
        log.debug("broker.away", error=str(error))
        return None
    return tuple(sorted({name for answer in answers for name in answer}))
