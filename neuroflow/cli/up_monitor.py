"""What `neuroflow up` says of itself while it runs: its status file, systemd's socket, and whether Redis answers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from neuroflow.cli.sd_notify import Notifier
from neuroflow.cli.up_lock import STATUS_SECONDS, UpLock
from neuroflow.masking import mask_text

if TYPE_CHECKING:
    from neuroflow.cli.signs_of_life import SignsOfLife
    from neuroflow.cli.supervised_child import ServiceState
    from neuroflow.cli.up_health import RedisCheck

log = structlog.get_logger(__name__)

EXTERNAL_REDIS = "external redis"
# systemd ends a unit that isn't ready after TimeoutStartSec, unless it is asked for longer, again and again: until
# Redis is back, and then for long enough to get ready. EXTEND_TIMEOUT_USEC in sd_notify(3).
_EXTEND_SECONDS = 240


@dataclass
class UpMonitor:
    """Follows the supervisor, and passes on what it sees."""

    lock: UpLock
    notifier: Notifier
    digest: str  # of the configuration that the children have
    redis: RedisCheck | None = None  # None where the Redis is a child of ours
    signs: SignsOfLife | None = None  # which asks that Redis
    is_ready: bool = False
    _written_at: float = field(default=float("-inf"))
    _told_at: float = field(default=float("-inf"))
    _redis_answered: bool = True
    _was_ready: bool = False
    _was_started: bool = False  # in systemd's eyes: a later reload doesn't undo that

    def changed(self, states: Sequence[ServiceState]) -> None:
        """Write the status at once."""
        self._written_at = time.monotonic()
        self.lock.write_status(self._report(states))
        self._ask_for_time()

    def ticked(self, states: Sequence[ServiceState]) -> None:
        """Look whether there is something to tell; called a few times a second."""
        now = time.monotonic()
        self._tell_of_redis()
        ready = bool(states) and all(state.state == "running" and state.health == "ok" for state in states)
        if ready != self.is_ready:
            self.is_ready = ready
            self.changed(states)
        if ready and not self._was_ready:
            self._was_ready = self._was_started = True
            log.info("up.ready")
            self.notifier.send(READY="1")
        if self.notifier.watchdog_seconds is not None and now - self._told_at >= self.notifier.watchdog_seconds / 3:
            self._told_at = now
            self.notifier.send(WATCHDOG="1")
        if now - self._written_at >= STATUS_SECONDS:
            self.changed(states)

    def reloaded(self, digest: str) -> None:
        """Note the configuration that the children are about to get."""
        self.digest = digest
        self._was_ready = False

    def redis_answers(self) -> bool:
        """Tell whether an external Redis answered last; True where ours is embedded."""
        sign = self.signs.of(EXTERNAL_REDIS) if self.signs is not None else None
        return sign is None or sign.health != "silent"

    def _tell_of_redis(self) -> None:
        answers = self.redis_answers()
        if answers == self._redis_answered:
            return
        self._redis_answered = answers
        if answers:
            log.info("up.redis_answers")
            self.notifier.send(STATUS="Redis answers again")
        else:
            log.error("up.redis_silent", error=self._redis_error(), hint=SILENT_REDIS_HINT)
            self.notifier.send(STATUS="waiting for the Redis that redis.url names")

    def _ask_for_time(self) -> None:
        """Keep systemd from ending a start that waits for Redis: the next start would wait as well."""
        if not self._was_started and not self.redis_answers():
            self.notifier.send(EXTEND_TIMEOUT_USEC=str(_EXTEND_SECONDS * 1_000_000))

    def _redis_error(self) -> str:
        return mask_text(self.redis.error) if self.redis is not None else ""

    def _report(self, states: Sequence[ServiceState]) -> dict[str, Any]:
        return {
            "ready": self.is_ready,
            "config_digest": self.digest,
            "redis_answers": self.redis_answers(),
            "redis_error": "" if self.redis_answers() else self._redis_error(),
            "services": [asdict(state) for state in states],
        }


SILENT_REDIS_HINT = (
    "redis.url names a Redis that doesn't answer: start it, correct redis.url, or set it to `embedded`; until then "
    "nothing is scanned, submitted or polled"
)
