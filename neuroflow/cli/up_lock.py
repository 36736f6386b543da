"""One `neuroflow up` per state folder: its lock, and what it says of itself."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuroflow.errors import NeuroflowError

if TYPE_CHECKING:
    from neuroflow.cli.supervise import ServiceState

LOCK_NAME = "up.lock"
STATUS_NAME = "up.json"


class AlreadyUpError(NeuroflowError):
    """Name the `neuroflow up` that holds the lock."""

    hint = "see `neuroflow up --status`; stop that one first"


@dataclass
class UpLock:
    """The lock of a state folder, held."""

    descriptor: int
    state_dir: Path
    started_at: str

    def write_status(self, services: Sequence[ServiceState]) -> None:
        """Write who runs, for `neuroflow up --status`."""
        report = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "started_at": self.started_at,
            "services": [asdict(service) for service in services],
        }
        temporary = self.state_dir / f".{STATUS_NAME}.tmp"
        temporary.write_text(json.dumps(report, indent=2), encoding="utf-8")
        temporary.replace(self.state_dir / STATUS_NAME)


@contextmanager
def hold_up_lock(state_dir: Path) -> Iterator[UpLock]:
    """Hold the lock of a state folder.

    Children that inherit the descriptor keep the lock held after a kill, until the last of them has ended.

    Raises:
        AlreadyUpError: when it is held, naming the process.
    """
    try:
        # The folder holds job folders and the database, which name subjects.
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(state_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise NeuroflowError(f"{state_dir / LOCK_NAME} can't be written: {error.strerror}") from error
    try:
        _take(descriptor, state_dir)
        holder = {"pid": os.getpid(), "host": socket.gethostname()}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        yield UpLock(descriptor, state_dir, datetime.now(UTC).isoformat(timespec="seconds"))
    finally:
        os.close(descriptor)


def _take(descriptor: int, state_dir: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = _json(os.pread(descriptor, 4096, 0))
        pid, host = holder.get("pid", "unknown"), holder.get("host", "unknown")
        if host == socket.gethostname() and isinstance(pid, int) and not _alive(pid):
            raise AlreadyUpError(
                f"an earlier `neuroflow up` (process {pid}) is gone, but its services still end, on {state_dir}",
                hint="wait until they have ended their tasks; `neuroflow up --status` names them",
            ) from error
        raise AlreadyUpError(f"`neuroflow up` already runs on {state_dir}: process {pid} on {host}") from error
    except OSError as error:
        raise NeuroflowError(
            f"{state_dir / LOCK_NAME} can't be locked: {error.strerror}",
            hint="paths.state_dir must be on a file system with file locks",
        ) from error


def read_status(state_dir: Path) -> dict[str, Any] | None:
    """Return what the running `neuroflow up` says of itself, or None when none runs."""
    try:
        descriptor = os.open(state_dir / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        try:
            return _json((state_dir / STATUS_NAME).read_bytes())
        except OSError:
            return _json(os.pread(descriptor, 4096, 0))
    finally:
        os.close(descriptor)
    return None


def _json(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
