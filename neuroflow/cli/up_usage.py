"""CPU and memory of everything that `neuroflow up` runs on this machine, conversions included."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

# A process of an attempt on this machine; submitit's module starts it, with the attempt's folder as its argument.
_JOB_MODULE = "submitit.core._submit"
_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Usage:
    """What some processes use together."""

    name: str
    processes: int
    cpu_seconds: float
    cpu_percent: float  # of one core, just now
    rss_mb: float  # what is shared between processes counts in each
    pss_mb: float | None  # what is shared is divided among those who share it; None where it may not be read

    def as_json(self) -> dict[str, object]:
        """Return it for programs."""
        return {
            "name": self.name,
            "processes": self.processes,
            "cpu_seconds": round(self.cpu_seconds, 2),
            "cpu_percent": round(self.cpu_percent, 1),
            "rss_mb": round(self.rss_mb, 1),
            "pss_mb": None if self.pss_mb is None else round(self.pss_mb, 1),
        }


def measure(supervisor: int, children: Iterable[tuple[str, int]], *, state_dir: Path, seconds: float) -> list[Usage]:
    """Watch for some seconds, and return each part's usage and then the total."""
    groups = _groups(supervisor, children, state_dir=state_dir)
    before = {name: _cpu(processes) for name, processes in groups.items()}
    began = time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    parts = [_usage(name, processes, before=before[name], took=took) for name, processes in groups.items() if processes]
    return [*parts, _total(parts)]


def _groups(
    supervisor: int, children: Iterable[tuple[str, int]], *, state_dir: Path
) -> dict[str, list[psutil.Process]]:
    found: dict[str, list[psutil.Process]] = {"up": _processes([supervisor])}
    for name, pid in children:
        main = _processes([pid])
        found[name] = main
        found[f"{name}'s processes"] = [one for process in main for one in _below(process)]
    # They are in sessions of their own, below the worker's processes until those end.
    jobs = {one.pid: one for job in _jobs(state_dir) for one in [job, *_below(job)]}
    found = {name: [one for one in processes if one.pid not in jobs] for name, processes in found.items()}
    return {**found, "conversions": list(jobs.values())}


def _processes(pids: Iterable[int]) -> list[psutil.Process]:
    found = []
    for pid in pids:
        with suppress(psutil.Error):
            found.append(psutil.Process(pid))
    return found


def _below(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def _jobs(state_dir: Path) -> list[psutil.Process]:
    attempts = str(state_dir / "attempts")
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if _JOB_MODULE in command and command[-1].startswith(attempts):
            found.append(process)
    return found


def _cpu(processes: Iterable[psutil.Process]) -> dict[int, float]:
    seconds = {}
    for process in processes:
        with suppress(psutil.Error):
            times = process.cpu_times()
            seconds[process.pid] = times.user + times.system
    return seconds


def _usage(name: str, processes: list[psutil.Process], *, before: dict[int, float], took: float) -> Usage:
    after = _cpu(processes)
    spent = sum(seconds - before.get(pid, seconds) for pid, seconds in after.items())
    rss = 0
    pss: int | None = 0
    for process in processes:
        with suppress(psutil.Error):
            rss += process.memory_info().rss
        found = _pss(process)
        pss = None if pss is None or found is None else pss + found
    return Usage(
        name=name,
        processes=len(after),
        cpu_seconds=sum(after.values()),
        cpu_percent=100.0 * spent / took if took > 0 else 0.0,
        rss_mb=rss / _MEGABYTE,
        pss_mb=None if pss is None else pss / _MEGABYTE,
    )


def _pss(process: psutil.Process) -> int | None:
    """Read a process' share of memory; None for another user's."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.NoSuchProcess:
        return 0
    except (psutil.Error, OSError, AttributeError):
        return None


def _total(parts: list[Usage]) -> Usage:
    shares = [part.pss_mb for part in parts]
    return Usage(
        name="total",
        processes=sum(part.processes for part in parts),
        cpu_seconds=sum(part.cpu_seconds for part in parts),
        cpu_percent=sum(part.cpu_percent for part in parts),
        rss_mb=sum(part.rss_mb for part in parts),
        pss_mb=None if None in shares else sum(share for share in shares if share is not None),
    )
