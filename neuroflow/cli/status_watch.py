"""`neuroflow status --watch`: the screen again and again, until Ctrl-C."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from neuroflow.cli.output import escaped
from neuroflow.cli.status_screen import print_screen, screen_on
from neuroflow.errors import NeuroflowError, StateError, UsageError

Look = Callable[[], tuple[dict[str, Any], str]]


def watch_status(look: Look, *, seconds: float, sleep: Callable[[float], None] = time.sleep) -> None:
    """Show what `look` returns every so often; leave the last picture behind.

    Raises:
        UsageError: where there is no terminal.
        NeuroflowError: when the first look fails; of a later one it is shown, and the next may succeed.
    """
    if not sys.stdout.isatty():
        raise UsageError("--watch needs a terminal", hint="use --json, or `neuroflow status` by itself, in a script")
    status, source = look()
    console = Console(file=sys.stdout, highlight=False)
    problem = ""
    try:
        with (
            _ended_by_signals(),
            Live(console=console, auto_refresh=False, screen=True, vertical_overflow="ellipsis") as live,
        ):
            while True:
                live.update(_picture(console, status, source, problem=problem, seconds=seconds), refresh=True)
                sleep(seconds)
                try:
                    status, source = look()
                    problem = ""
                except (StateError, UsageError) as error:
                    problem = _told(error)
    except KeyboardInterrupt:
        pass
    print_screen(status, now=datetime.now(UTC), source=source)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let a signal that ends the process first give the terminal back as it was."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    former = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _picture(console: Console, status: Mapping[str, Any], source: str, *, problem: str, seconds: float) -> Group:
    screen = screen_on(console, now=datetime.now(UTC), source=source)
    last = Text(f"problem: {problem}", "red") if problem else Text(f"every {seconds:g} s; Ctrl-C ends", "dim")
    return Group(last, *screen.parts(status))


def _told(error: NeuroflowError) -> str:
    return escaped(str(error))
