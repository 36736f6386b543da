"""Name a local process so that a reused process id is not taken for it; standard library only."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

from neuroflow.cluster.files import write_json

PLACE_NAME = "process.json"

_DEAD = ("Z", "X", "x")
_LOCAL_ID = re.compile(r"(\d+):(\d+)", re.ASCII)


def local_id(pid: int) -> str | None:
    """Return `<pid>:<start time in clock ticks since boot>` of a live process; None for a gone or dead one."""
    fields = stat_fields(pid)
    return f"{pid}:{fields[19]}" if fields and fields[0] not in _DEAD else None


def is_another(pid: int, job_id: str) -> bool:
    """Tell whether a process id now belongs to another process than the one of a local job id, dead or alive."""
    fields = stat_fields(pid)
    return bool(fields) and f"{pid}:{fields[19]}" != job_id


def stat_fields(pid: int) -> list[str]:
    """Return /proc's fields of a process from its state on; none for one that is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    # The program's name stands in parentheses and may hold any character.
    fields = text.rpartition(")")[2].split()
    return fields if len(fields) >= 20 else []


def own_local_id() -> str:
    """Return this process's own name."""
    found = local_id(os.getpid())
    if found is None:
        raise OSError(f"/proc/{os.getpid()}/stat can't be read; local jobs need Linux' /proc")
    return found


def is_alive(job_id: str) -> bool:
    """Tell whether the very process that a local job id names still lives."""
    pid = pid_of(job_id)
    return pid is not None and local_id(pid) == job_id


def pid_of(job_id: str) -> int | None:
    """Return the process id within a local job id; None for anything else."""
    match = _LOCAL_ID.fullmatch(job_id)
    return int(match[1]) if match else None


def all_processes() -> Iterator[tuple[int, list[str]]]:
    """Yield each process of this machine with its fields, as `stat_fields` returns them."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := stat_fields(int(entry.name))):
            yield int(entry.name), fields


def session_members(leader: int) -> list[int]:
    """Return the living processes of a session by its leader's process id."""
    return [pid for pid, fields in all_processes() if fields[0] not in _DEAD and fields[3] == str(leader)]


def write_place(folder: Path, job_id: str) -> None:
    """Note which machine's process table knows a job."""
    write_json(folder / PLACE_NAME, {"job_id": job_id, "host": socket.gethostname(), "boot": boot_id()})


def state_here(folder: Path, job_id: str) -> bool | None:
    """Tell whether a job's process lives; None where another machine, or none that is known, could tell."""
    try:
        raw = json.loads((folder / PLACE_NAME).read_text(encoding="utf-8"))
        if raw["host"] != socket.gethostname():
            return None
        return bool(raw["boot"] == boot_id()) and is_alive(job_id)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_of_this_boot(folder: Path) -> bool:
    """Tell whether a job was started on this machine since it was: older process ids mean nothing any more."""
    try:
        raw = json.loads((folder / PLACE_NAME).read_text(encoding="utf-8"))
        return (raw["host"], raw["boot"]) == (socket.gethostname(), boot_id())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def boot_id() -> str:
    """Return what tells this boot of the machine from all others; nothing where Linux doesn't say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
