"""Ask the kernel whether it killed for memory; standard library only, because jobs import it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

_OWN = Path("/proc/self/cgroup")
_CGROUPS = Path("/sys/fs/cgroup")
_COUNT = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


def oom_kills(own: Path = _OWN, root: Path = _CGROUPS) -> int:
    """Return how many processes of this process's control group were killed for memory; 0 where it can't be known."""
    for number, controllers, path in _groups(own):
        if "memory" in controllers.split(","):  # version 1
            return _count(root / "memory" / path.lstrip("/") / "memory.oom_control")
        if number == "0" and not controllers and (root / "cgroup.controllers").exists():  # version 2
            return _count(root / path.lstrip("/") / "memory.events")
    return 0


def is_in_group_of(job_number: str, own: Path = _OWN) -> bool:
    """Tell whether SLURM gave a job a control group of its own, and this process is in it.

    Without one a process is in that of slurmd, with all jobs of the node, or in a login session's.
    """
    return any(f"job_{job_number}" in path.split("/") for _, _, path in _groups(own))


def _groups(own: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the hierarchies' numbers, their controllers, and where this process is in each."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        yield number, controllers, path


def _count(path: Path) -> int:
    try:
        match = _COUNT.search(path.read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError):
        return 0
    return int(match[1]) if match else 0
