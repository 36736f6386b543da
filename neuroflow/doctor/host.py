"""What this machine gives to a process of ours: limits, memory, and whether services outlive a logout."""

from __future__ import annotations

import getpass
import os
import platform
import resource
from collections.abc import Iterator
from pathlib import Path

from neuroflow.doctor.check import Check, Context, Finding, skipped, warning, well
from neuroflow.errors import CommandError

TOPIC = "host"
FEWEST_FILES = 1024
FEWEST_PROCESSES = 256
LEAST_MEMORY_GB = 1.0
# cgroup v1 writes a number near 2^63 for `no limit`.
_NO_LIMIT = 1 << 60

FEW_FILES = warning(
    "host-few-files",
    "a process may open few files",
    why="workers, SQLite and Redis fail with `Too many open files`",
    mend=f"ulimit -n {FEWEST_FILES} before `neuroflow up` (or LimitNOFILE in a systemd unit)",
)
FEW_PROCESSES = warning(
    "host-few-processes",
    "a user may have few processes",
    why="a worker can't start its children, and SLURM's commands fail with `Resource temporarily unavailable`",
    mend=f"ulimit -u {FEWEST_PROCESSES} or more before `neuroflow up`; ask your admins where that is refused",
)
LITTLE_MEMORY = warning(
    "host-little-memory",
    "processes of this session may use little memory",
    why="the services are killed without a word when they reach it",
    mend="lower celery.worker_concurrency, run the services as a SLURM job, or ask for a larger limit",
)
NO_LINGER = warning(
    "host-no-linger",
    "systemd ends your processes when you log out",
    why="`neuroflow up` as a user's service, or in tmux, may end with the session",
    mend="loginctl enable-linger {user}",
)
UMASK = warning(
    "host-open-umask",
    "new files can be written by everybody",
    why="other users could change results and working directories",
    mend="umask 022 (or 007 for a group that works together) before `neuroflow up`",
)


def _limits(_context: Context) -> Iterator[Finding]:
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    processes = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    found = []
    if 0 <= files < FEWEST_FILES:
        found.append(FEW_FILES.seen(f"`ulimit -n` is {files}"))
    if 0 <= processes < FEWEST_PROCESSES:
        found.append(FEW_PROCESSES.seen(f"`ulimit -u` is {processes}"))
    words = "unlimited" if processes < 0 else str(processes)
    yield from found or [well(f"{files} files, {words} processes, Python {platform.python_version()}")]


def _memory(context: Context) -> Iterator[Finding]:
    limit = memory_limit(context.root)
    if limit is None:
        yield well("no memory limit for this session")
    elif limit < LEAST_MEMORY_GB * 1e9:
        yield LITTLE_MEMORY.seen(f"the limit of this session is {limit / 1e9:.2f} GB")
    else:
        yield well(f"the memory limit of this session is {limit / 1e9:.1f} GB")


def memory_limit(root: Path) -> int | None:
    """Return the smallest memory limit of this process' control group and those above it; None without one."""
    found = []
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, group = [*line.split(":", 2), "", ""][:3]
        if controllers not in ("", "memory") and "memory" not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        name = "memory.limit_in_bytes" if controllers else "memory.max"
        folder = top / group.lstrip("/")
        for place in (folder, *folder.parents):
            found += [int(text) for text in _lines(place / name) if text.isdigit() and int(text) < _NO_LIMIT]
            if place == top:
                break
    return min(found, default=None)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split("\n")
    except OSError:
        return []


def _session(context: Context) -> Iterator[Finding]:
    try:
        answer = context.run("loginctl", "show-user", getpass.getuser(), "--property=Linger", seconds=10)
    except CommandError:
        yield skipped("there is no loginctl here")
        return
    if answer.exit_code != 0:
        yield skipped("systemd does not look after logins here")
    elif "Linger=no" in answer.stdout:
        yield NO_LINGER.seen("loginctl says Linger=no", user=getpass.getuser())
    else:
        yield well("your processes outlive a logout")


def _umask(_context: Context) -> Iterator[Finding]:
    mask = current_umask()
    yield UMASK.seen(f"umask is {mask:03o}") if not mask & 0o002 else well(f"umask is {mask:03o}")


def current_umask() -> int:
    """Return the umask without changing it, where Linux tells it."""
    for line in _lines(Path("/proc/self/status")):
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


CHECKS = (
    Check(
        "host-limits", TOPIC, "open files and processes", _limits, (FEW_FILES, FEW_PROCESSES), needs=(), on_node=True
    ),
    Check("host-memory", TOPIC, "memory of this session", _memory, (LITTLE_MEMORY,), needs=(), on_node=False),
    Check("host-session", TOPIC, "services outlive a logout", _session, (NO_LINGER,), needs=()),
    Check("host-umask", TOPIC, "new files are closed to others", _umask, (UMASK,), needs=()),
)
