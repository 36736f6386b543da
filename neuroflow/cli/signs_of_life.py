"""Ask services for signs of life, in a thread of its own: an answer may take seconds, and supervision must not wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import structlog

log = structlog.get_logger(__name__)

Check = Callable[[], bool | None]


@dataclass(frozen=True)
class Sign:
    """What is known of one service since it was started."""

    watched_since: float  # monotonic
    judged_at: float  # monotonic: of the last answer other than silence, or of the start
    last_sign: float | None = None  # seconds since the epoch
    health: str = "unknown"

    def silent_seconds(self, now: float) -> float:
        """Return for how long it has been silent although it could have answered."""
        return now - self.judged_at


class SignsOfLife:
    """Ask each watched service every few seconds, and remember when it answered last."""

    def __init__(self, *, interval: float) -> None:
        self._interval = interval
        self._checks: dict[str, Check] = {}
        self._signs: dict[str, Sign] = {}
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, name: str, check: Check) -> None:
        """Begin to watch a service that was just started."""
        now = time.monotonic()
        with self._lock:
            self._checks[name] = check
            self._signs[name] = Sign(now, now)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="signs-of-life", daemon=True)
            self._thread.start()

    def forget(self, name: str) -> None:
        """Stop watching a service that has ended."""
        with self._lock:
            self._checks.pop(name, None)
            self._signs.pop(name, None)

    def of(self, name: str) -> Sign | None:
        """Return what is known of a service; None for one that isn't watched."""
        with self._lock:
            return self._signs.get(name)

    def stop(self) -> None:
        """End the thread; a check that is under way is not waited for."""
        self._end.set()

    def ask_all(self) -> None:
        """Ask every watched service once."""
        with self._lock:
            asked: Mapping[str, tuple[Check, Sign]] = {
                name: (check, self._signs[name]) for name, check in self._checks.items()
            }
        for name, (check, before) in asked.items():
            answer = self._answer(name, check)
            with self._lock:
                present = self._signs.get(name)
                # It may have been started anew meanwhile: the answer is the former one's.
                if present is not None and present.watched_since == before.watched_since:
                    self._signs[name] = _after(present, answer)

    def _answer(self, name: str, check: Check) -> bool | None:
        try:
            return check()
        except OSError as error:
            log.warning("up.check_failed", child=name, error=str(error))
            return None

    def _run(self) -> None:
        while not self._end.wait(self._interval):
            self.ask_all()


def _after(sign: Sign, answer: bool | None) -> Sign:
    now = time.monotonic()
    if answer is None:
        return replace(sign, judged_at=now, health="unknown")
    if answer:
        return replace(sign, judged_at=now, last_sign=time.time(), health="ok")
    return replace(sign, health="silent")
