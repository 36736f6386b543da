"""The signs of life of `neuroflow up`'s children: a PING, Celery's ping, a schedule that is looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis import Redis

    from neuroflow.config import NeuroflowConfig

REDIS_SECONDS = 3.0


@dataclass
class RedisCheck:
    """Whether the Redis of a URL answers, and why not."""

    url: str
    error: str = ""

    def answers(self) -> bool:
        """Send a PING; a Redis that still loads its data lives too."""
        import redis

        try:
            with open_redis(self.url) as client:
                client.ping()
        except redis.exceptions.BusyLoadingError:
            self.error = ""
        except (redis.RedisError, OSError, ValueError) as error:
            self.error = str(error) or type(error).__name__
            return False
        self.error = ""
        return True


def open_redis(url: str, *, seconds: float = REDIS_SECONDS) -> Redis:
    """Connect to the Redis of a broker URL, at the first command.

    Raises:
        ValueError: for a URL that is none of Redis'.
    """
    from urllib.parse import parse_qs, unquote, urlsplit

    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    once = Retry(NoBackoff(), 0)  # whoever asks asks again
    if not url.startswith("redis+socket://"):
        return redis.Redis.from_url(url, socket_timeout=seconds, socket_connect_timeout=seconds, retry=once)
    parts = urlsplit(url)
    return redis.Redis(
        unix_socket_path=unquote(parts.path),
        db=int(parse_qs(parts.query).get("virtual_host", ["0"])[0].strip("/") or 0),
        username=parts.username,
        password=parts.password,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        retry=once,
    )


@dataclass
class BeatCheck:
    """Whether beat's sign of life has moved since the last look."""

    sign: Path
    redis_answers: Callable[[], bool]
    _seen: float | None = field(default=None)

    def __call__(self) -> bool | None:
        """Tell whether it has; None while Redis is away, when beat may wait for it."""
        try:
            now: float | None = self.sign.stat().st_mtime
        except OSError:
            now = None
        # Changes are compared, not ages: a file server's clock may be another.
        moved, self._seen = now is not None and now != self._seen, now
        if moved:
            return True
        return False if self.redis_answers() else None


@dataclass
class WorkerCheck:
    """Whether the worker of `neuroflow up` answers Celery's ping."""

    answers_ping: Callable[[], bool | None]
    redis_answers: Callable[[], bool]

    def __call__(self) -> bool | None:
        """Tell whether it does; None while Redis is away."""
        return self.answers_ping() if self.redis_answers() else None


def worker_check(config: NeuroflowConfig) -> WorkerCheck:
    """Build the check of the worker."""
    from neuroflow.workers.ping import WorkerPing, up_worker_name

    url = config.redis_url()
    return WorkerCheck(WorkerPing(url, up_worker_name()).answers, RedisCheck(url).answers)


def beat_check(config: NeuroflowConfig) -> BeatCheck:
    """Build the check of beat."""
    from neuroflow.workers.beat import sign_file

    return BeatCheck(sign_file(config.paths.state_dir), RedisCheck(config.redis_url()).answers)
