"""Let signals wake a selector, and the ending ones ask for a stop."""

from __future__ import annotations

import os
import selectors
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextmanager
def wakeups(selector: selectors.BaseSelector, stop: Callable[[], None]) -> Iterator[None]:
    """Let signals end a wait at once, and the ending ones ask for a stop."""
    receiver, sender = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    selector.register(receiver, selectors.EVENT_READ)

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop()

    former = {number: signal.getsignal(number) for number in (*_ENDING, signal.SIGCHLD)}
    # Under nohup a hang-up is to be ignored.
    for number in _ENDING:
        if former[number] is not signal.SIG_IGN:
            signal.signal(number, ask)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    former_fd = signal.set_wakeup_fd(sender, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(former_fd)
        for number, handler in former.items():
            signal.signal(number, handler)
        os.close(receiver)
        os.close(sender)
