"""Ask the kernel whether it killed for memory; standard library only, because jobs import it."""

from __future__ import annotations

import re
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_COUNT = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


def oom_kills(own: Path = Path("/proc/self/cgroup"), root: Path = _CGROUPS) -> int:
    """Return how many processes of this process's control group were killed for memory; 0 where it can't be known."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return 0
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if "memory" in controllers.split(","):  # version 1
            return _count(root / "memory" / path.lstrip("/") / "memory.oom_control")
        if number == "0" and not controllers and (root / "cgroup.controllers").exists():  # version 2
            return _count(root / path.lstrip("/") / "memory.events")
    return 0


def _count(path: Path) -> int:
    try:
        match = _COUNT.search(path.read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError):
        return 0
    return int(match[1]) if match else 0
