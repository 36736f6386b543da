"""One `neuroflow up` per state folder: its lock, which other hosts understand too, and what it says of itself."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from neuroflow.cli.left_over import end_left_over, is_here, lives, wait_until
from neuroflow.cluster.files import rewrite
from neuroflow.cluster.process_table import boot_id, local_id
from neuroflow.errors import NeuroflowError
from neuroflow.sharing import open_private

log = structlog.get_logger(__name__)

LOCK_NAME = "up.lock"
STATUS_NAME = "up.json"
# How often the running one writes its status, which is its sign of life for other hosts.
STATUS_SECONDS = 15.0
# Another host's `neuroflow up` that wrote nothing for this long is gone.
FOREIGN_SECONDS = 180.0


class AlreadyUpError(NeuroflowError):
    """Name the `neuroflow up` that holds the lock."""

    hint = "see `neuroflow up --status`; stop that one first"


@dataclass
class UpLock:
    """The lock of a state folder, held."""

    descriptor: int
    state_dir: Path
    started_at: str

    def write_status(self, report: dict[str, Any]) -> None:
        """Write who runs, and how, for `neuroflow up --status`."""
        text = json.dumps({**holder(), "started_at": self.started_at, **report, "written_at": time.time()}, indent=2)
        rewrite(self.state_dir / STATUS_NAME, text.encode())


def holder() -> dict[str, Any]:
    """Name this process so that another host, or another boot, doesn't take it for one of its own."""
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "boot": boot_id(),
        "process": local_id(os.getpid()),
        "user": _user(),
    }


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


@contextmanager
def hold_up_lock(
    state_dir: Path, *, take_over: bool = False, left_over_seconds: float | None = None
) -> Iterator[UpLock]:
    """Hold the lock of a state folder.

    Children that inherit the descriptor keep the lock held after a kill, until the last of them has ended.

    Args:
        state_dir: the folder.
        take_over: end such children at once, and disregard the sign of life of another host.
        left_over_seconds: how long to wait for such children before they are ended; None: refuse.

    Raises:
        AlreadyUpError: when it is held, naming the process.
    """
    try:
        # The folder holds job folders and the database, which name subjects.
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = open_private(state_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise NeuroflowError(f"{state_dir / LOCK_NAME} can't be written: {error.strerror}") from error
    try:
        _take(descriptor, state_dir, patience=0.0 if take_over else left_over_seconds)
        _refuse_foreign(descriptor, state_dir, take_over=take_over)
        _write_holder(descriptor, holder())
        yield UpLock(descriptor, state_dir, datetime.now(UTC).isoformat(timespec="seconds"))
        _write_holder(descriptor, {})
    finally:
        os.close(descriptor)


def _write_holder(descriptor: int, value: dict[str, Any]) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(value).encode(), 0)


def _take(descriptor: int, state_dir: Path, *, patience: float | None) -> None:
    try:
        # `up --status` holds it for a moment too.
        if _locked(descriptor, seconds=0.5):
            return
    except OSError as error:
        raise NeuroflowError(
            f"{state_dir / LOCK_NAME} can't be locked: {error.strerror}",
            hint="paths.state_dir must be on a file system with file locks",
        ) from error
    found = _json(os.pread(descriptor, 4096, 0))
    _refuse_living(found, state_dir)
    if patience is None:
        raise AlreadyUpError(
            f"an earlier `neuroflow up` (process {found['pid']}) is gone, but its services still end, on {state_dir}",
            hint="wait until they have ended their tasks, or end them with `neuroflow up --take-over`: no run is "
            "lost, what they were at is done again; `neuroflow up --status` names them",
        )
    if patience:
        log.warning("up.left_over_waited_for", former_pid=found["pid"], at_most_seconds=patience)

    def free() -> bool:
        if _locked(descriptor, seconds=0):
            return True
        # Another one may have been started meanwhile, and been faster.
        _refuse_living(_json(os.pread(descriptor, 4096, 0)) or found, state_dir)
        return False

    if wait_until(free, seconds=patience):
        return
    report = _written(state_dir)
    # What somebody else wrote names services that are not left over.
    mine = report if report.get("process") == found.get("process") else {}
    if not end_left_over(mine, is_over=lambda seconds: wait_until(free, seconds=seconds)):
        raise AlreadyUpError(
            f"what an earlier `neuroflow up` left on {state_dir} holds its lock and could not be ended",
            hint=f"`fuser {state_dir / LOCK_NAME}` names the processes; they may be another user's",
        )


def _refuse_living(found: dict[str, Any], state_dir: Path) -> None:
    """Refuse unless the holder of the lock is known to be gone."""
    pid, host = found.get("pid", "unknown"), found.get("host", "unknown")
    if not is_here(found) or not isinstance(pid, int):
        raise AlreadyUpError(
            f"`neuroflow up` already runs on {state_dir}: process {pid} on {host}",
            hint=f"see `neuroflow up --status`; to take over, stop that one first, on {host}",
        )
    if lives(found):
        raise AlreadyUpError(f"`neuroflow up` already runs on {state_dir}: process {pid} on {host}")


def _locked(descriptor: int, *, seconds: float) -> bool:
    return wait_until(lambda: _lock_now(descriptor), seconds=seconds)


def _lock_now(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _refuse_foreign(descriptor: int, state_dir: Path, *, take_over: bool) -> None:
    """Refuse while another host's `neuroflow up` gives signs of life: not every file system has locks across hosts."""
    found = _json(os.pread(descriptor, 4096, 0))
    host = found.get("host")
    if not found or host == socket.gethostname():
        return
    age = _seconds_since_status(state_dir)
    if age is not None and age < FOREIGN_SECONDS and not take_over:
        raise AlreadyUpError(
            f"`neuroflow up` seems to run on {host} (process {found.get('pid')}): it wrote {state_dir / STATUS_NAME} "
            f"{age:.0f} s ago, although its lock is not to be seen from here",
            hint=f"stop it there; if {host} is gone, wait {FOREIGN_SECONDS - age:.0f} s, or start with --take-over",
        )
    log.warning("up.lock_of_dead_host", host=host, former_pid=found.get("pid"), silent_seconds=age and round(age))


def _seconds_since_status(state_dir: Path) -> float | None:
    """Return the age of the status file by the file server's own clock."""
    probe = state_dir / f".{STATUS_NAME}.clock"
    try:
        written = (state_dir / STATUS_NAME).stat().st_mtime
        os.close(open_private(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
        os.utime(probe)
        return max(0.0, probe.stat().st_mtime - written)
    except OSError:
        return None
    finally:
        probe.unlink(missing_ok=True)


def read_status(state_dir: Path) -> dict[str, Any] | None:
    """Return what the running `neuroflow up` says of itself, or None when none runs.

    Raises:
        NeuroflowError: when this user may not look.
    """
    try:
        descriptor = os.open(state_dir / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NeuroflowError(
            f"{state_dir / LOCK_NAME} can't be read: {error.strerror}",
            hint="the state folder is its owner's alone, unless `paths.group` shares it with a group",
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _written(state_dir) or _json(os.pread(descriptor, 4096, 0))
    else:
        found = _json(os.pread(descriptor, 4096, 0))
        age = _seconds_since_status(state_dir) if found and not is_here(found) else None
        return _written(state_dir) if age is not None and age < FOREIGN_SECONDS else None
    finally:
        os.close(descriptor)


def is_left_over(report: dict[str, Any]) -> bool:
    """Tell whether the supervisor of a held lock is gone, so that only its children are left."""
    return is_here(report) and not lives(report)


def _written(state_dir: Path) -> dict[str, Any]:
    try:
        return _json((state_dir / STATUS_NAME).read_bytes())
    except OSError:
        return {}


def _json(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
