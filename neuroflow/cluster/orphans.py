"""End what a tool has left running; standard library only, because jobs import it.

A process that a tool put into a session of its own outlives the tool, and would go on writing into results that have
been checked. It becomes the child of this process, which has asked the kernel for that (PR_SET_CHILD_SUBREAPER,
prctl(2)).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from contextlib import suppress

from neuroflow.cluster.process_table import all_processes

_PR_SET_CHILD_SUBREAPER = 36
_SECONDS = 5.0
_TICK_SECONDS = 0.02


def adopt_orphans() -> None:
    """Become the parent of all that this process's descendants leave behind."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_orphans() -> None:
    """Kill this process's children, and theirs, until none is left.

    What belongs to another user can't be killed, such as a file system's daemon of a container runtime with root
    rights; it ends with its container. What hangs in the kernel can't either: it is named in the job's log.
    """
    until = time.monotonic() + _SECONDS
    while living := _living_children():
        killed = [pid for pid in living if _kill(pid)]
        if not killed:
            return
        if time.monotonic() >= until:
            names = ", ".join(map(str, killed))
            print(f"neuroflow: processes {names} of the tool do not end", file=sys.stderr, flush=True)
            return
        time.sleep(_TICK_SECONDS)


def _living_children() -> list[int]:
    """Return the children that live, and bury those that do not."""
    own, living = str(os.getpid()), []
    for pid in [pid for pid, fields in all_processes() if fields[1] == own]:
        with suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG) == (0, 0):
                living.append(pid)
    return living


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except PermissionError:
        return False
    except ProcessLookupError:
        pass
    return True
