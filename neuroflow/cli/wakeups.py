"""Let signals wake a selector: the ending ones ask for a stop, a hang-up for the present configuration."""

from __future__ import annotations

import os
import selectors
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGINT)


@dataclass
class Wishes:
    """What was asked for by signals and not yet done."""

    stops: int = 0
    reload: bool = False

    def take_reload(self) -> bool:
        """Tell whether a reload was asked for since the last call."""
        wished, self.reload = self.reload, False
        return wished


@contextmanager
def wakeups(selector: selectors.BaseSelector, wishes: Wishes) -> Iterator[None]:
    """Let signals end a wait at once, and write down what they ask for."""
    receiver, sender = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    selector.register(receiver, selectors.EVENT_READ)

    def stop(_number: int, _frame: FrameType | None) -> None:
        wishes.stops += 1

    terminal = _Terminal(_has_terminal())

    former = {number: signal.getsignal(number) for number in (*_ENDING, signal.SIGHUP, signal.SIGCHLD)}
    for number in _ENDING:
        if former[number] is not signal.SIG_IGN:
            signal.signal(number, stop)
    nohup = former[signal.SIGHUP] is signal.SIG_IGN

    def hang_up(_number: int, _frame: FrameType | None) -> None:
        if not terminal.went_away():
            wishes.reload = True
        elif not nohup:
            wishes.stops += 1

    signal.signal(signal.SIGHUP, hang_up)
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


@dataclass
class _Terminal:
    """The terminal whose end sends a hang-up too."""

    is_there: bool

    def went_away(self) -> bool:
        """Tell whether it was there, and is no more to be found."""
        before, self.is_there = self.is_there, _has_terminal()
        return before and not self.is_there


def _has_terminal() -> bool:
    """Tell whether this process has a controlling terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
