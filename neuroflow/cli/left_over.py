"""What a killed `neuroflow up` left behind: services that hold its lock, and how they are ended."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from neuroflow.cluster.process_table import is_alive

log = structlog.get_logger(__name__)

# How long a worker may take to give its tasks back to their queues, and what was killed to be gone.
ENDING_SECONDS = 10.0
_WORKER = "worker"


def is_here(found: Mapping[str, Any]) -> bool:
    """Tell whether a process that was written down is one of this host's."""
    return found.get("host") == socket.gethostname()


def lives(found: Mapping[str, Any]) -> bool:
    """Tell whether a process of this host that was written down lives."""
    process = found.get("process")
    return is_alive(process) if isinstance(process, str) else Path(f"/proc/{found.get('pid')}").exists()


def end_left_over(report: Mapping[str, Any], *, is_over: Callable[[float], bool]) -> bool:
    """End the services that a status file names: first the worker by what it obeys, then all of them by force.

    A worker whose Redis has died may wait for it for ever. Conversions are processes of their own, and stay.

    Args:
        report: the status file of the supervisor that is gone.
        is_over: waits so many seconds at most, and tells whether all have ended.
    """
    if not is_here(report):
        return False
    # SIGQUIT ends a worker without waiting for its tasks, which then go back to their queues.
    if _signal(report, lambda pid: os.kill(pid, signal.SIGQUIT), only=_WORKER) and is_over(ENDING_SECONDS):
        return True
    _signal(report, lambda pid: os.killpg(pid, signal.SIGKILL))
    return is_over(ENDING_SECONDS)


def _signal(report: Mapping[str, Any], send: Callable[[int], None], *, only: str | None = None) -> int:
    """Signal services that live; return how many."""
    sent = 0
    for service in report.get("services", []):
        pid, process, name = service.get("pid"), service.get("process"), service.get("name")
        # Named with its start time: a process id may have been given to somebody else since.
        if only in (None, name) and isinstance(pid, int) and isinstance(process, str) and is_alive(process):
            log.warning("up.left_over_ended", child=name, child_pid=pid, kindly=only is not None)
            with suppress(ProcessLookupError, PermissionError):
                send(pid)
            sent += 1
    return sent


def wait_until(is_true: Callable[[], bool], *, seconds: float) -> bool:
    """Ask again and again; return False when the time is up."""
    deadline = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)
    return True
