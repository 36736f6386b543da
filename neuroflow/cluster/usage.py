"""Measure what a command, and all that it starts, uses on the node; standard library only, because jobs import it.

The kernel adds up CPU time over processes that were waited for, but of memory it keeps the largest single process
(getrusage(2)). A tool works in many processes at once, and what they hold together is what a request has to cover. So
the living processes are looked at now and then, as SLURM's jobacct_gather/linux does it: their resident memory is added
up, pages that they share are counted once for each, and a peak between two looks is missed.
"""

from __future__ import annotations

import os
import resource
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from types import TracebackType

from neuroflow.cluster.process_table import all_processes

_EVERY_SECONDS = 2.0
# A look reads all of the node's process table: it may cost this part of one core at most.
_SHARE = 0.01
_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 1024**2
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# Fields of /proc/<pid>/stat from the state on (proc(5)): ppid; utime, stime, cutime and cstime; rss.
_PARENT, _TIMES, _RESIDENT = 1, slice(11, 15), 21


@dataclass(frozen=True)
class Usage:
    """What was used: the most memory at one time (MiB), and CPU time (s) of all cores together."""

    max_rss_mb: float
    cpu_seconds: float


class Meter:
    """Watch the processes below this one while a block runs."""

    def __init__(self, *, every_seconds: float = _EVERY_SECONDS) -> None:
        self._every = every_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="usage", daemon=True)
        self._most = Usage(0.0, 0.0)

    def __enter__(self) -> Meter:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def usage(self) -> Usage:
        """Return what has been used: the most that was seen, or that the kernel tells of processes that have ended."""
        waited_for = _of_children()
        return Usage(
            max_rss_mb=max(self._most.max_rss_mb, waited_for.max_rss_mb),
            cpu_seconds=max(self._most.cpu_seconds, waited_for.cpu_seconds),
        )

    def _watch(self) -> None:
        wait = self._every
        while not self._over.wait(wait):
            begin = time.thread_time()
            self._look()
            wait = max(self._every, (time.thread_time() - begin) / _SHARE)

    def _look(self) -> None:
        now = of_descendants(os.getpid())
        ended = _of_children()
        self._most = Usage(
            max_rss_mb=max(self._most.max_rss_mb, now.max_rss_mb),
            cpu_seconds=max(self._most.cpu_seconds, now.cpu_seconds + ended.cpu_seconds),
        )


def _of_children() -> Usage:
    told = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Usage(max_rss_mb=told.ru_maxrss / 1024, cpu_seconds=told.ru_utime + told.ru_stime)  # Linux counts in KiB


def of_descendants(root: int) -> Usage:
    """Return what the living processes below one hold, and have used, at this moment."""
    table = dict(all_processes())
    children: defaultdict[int, list[int]] = defaultdict(list)
    for pid, fields in table.items():
        if len(fields) > _RESIDENT:
            children[int(fields[_PARENT])].append(pid)
    pages = ticks = 0
    waiting = list(children[root])
    while waiting:
        pid = waiting.pop()
        pages += int(table[pid][_RESIDENT])
        ticks += sum(int(field) for field in table[pid][_TIMES])
        waiting += children[pid]
    return Usage(max_rss_mb=pages * _PAGE_MIB, cpu_seconds=ticks / _TICKS_PER_SECOND)
