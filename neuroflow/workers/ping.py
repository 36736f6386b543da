"""Ask one worker over the broker whether it listens; its main process answers, also while all its tasks are busy."""

from __future__ import annotations

import socket
from typing import Any

import redis
from celery import Celery
from kombu.exceptions import OperationalError

ANSWER_SECONDS = 5.0
UP_WORKER = "up"  # the node name of its worker, before the host


def up_worker_name() -> str:
    """Return the node name of the worker that `neuroflow up` runs on this host."""
    return f"{UP_WORKER}@{socket.gethostname()}"


class WorkerPing:
    """Celery's ping of one worker."""

    def __init__(self, broker_url: str, worker: str, *, seconds: float = ANSWER_SECONDS) -> None:
        self._worker = worker
        self._seconds = seconds
        # Not the application of the workers: neither their tasks nor their slow reconnecting are wanted here.
        self._app = Celery("ping", broker=broker_url, set_as_current=False)
        self._app.conf.broker_transport_options = {"socket_timeout": seconds, "socket_connect_timeout": seconds}
        self._app.conf.broker_connection_retry = False

    def answers(self) -> bool | None:
        """Tell whether the worker answered; None when the broker didn't."""
        try:
            with self._app.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1, timeout=self._seconds)
                replies: list[dict[str, Any]] = self._app.control.ping(
                    destination=[self._worker], timeout=self._seconds, connection=connection, limit=1
                )
        except (OperationalError, redis.RedisError, OSError):
            return None
        return any(self._worker in reply for reply in replies or [])
