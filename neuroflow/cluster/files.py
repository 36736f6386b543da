"""Write and read small files so that nobody sees half of one; standard library only, because jobs import it."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import time
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path
from typing import BinaryIO

from neuroflow.sharing import is_trusted, open_private

# What a process works on is written to more often; clocks of file servers may differ by minutes.
_STALE_SECONDS = 24 * 3600.0


class Access(Enum):
    """Who may read a file that is put in place."""

    AS_FOLDER = auto()  # as closed to other users as its folder is
    AS_UMASK = auto()  # as this process's umask says
    EVERYBODY = auto()


def write_atomically(path: Path, data: bytes, *, durable: bool = True, access: Access = Access.AS_FOLDER) -> None:
    """Put a file in place whole.

    Args:
        durable: wait until it has reached the disk.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = _open(temporary, access)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            if access is Access.EVERYBODY:
                os.fchmod(descriptor, 0o644)
            stream.write(data)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        os.replace(temporary, path)  # noqa: PTH105
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    if durable:
        sync_folder(path.parent)


def _open(path: Path, access: Access) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    return open_private(path, flags) if access is Access.AS_FOLDER else os.open(path, flags | os.O_CLOEXEC, 0o666)


def rewrite(path: Path, data: bytes, *, access: Access = Access.AS_FOLDER) -> None:
    """Put a file in place that is made again and again, and remove what killed writers of it have left."""
    remove_stale_drafts(path)
    write_atomically(path, data, durable=False, access=access)


def remove_stale_drafts(path: Path, *, ending: str = ".tmp") -> None:
    """Remove the hidden files beside a file that were to take its place, and that nobody has touched for a day.

    Args:
        ending: of their names, `.<name>.<process or random hex><ending>`.
    """
    draft = re.compile(re.escape(f".{path.name}.") + "[0-9a-f]+" + re.escape(ending), re.ASCII)
    with suppress(OSError), os.scandir(path.parent) as scan:
        for entry in scan:
            if draft.fullmatch(entry.name) is None:
                continue
            with suppress(OSError):  # another user's, or just gone
                found = entry.stat(follow_symlinks=False)
                if not stat.S_ISDIR(found.st_mode) and time.time() - found.st_mtime > _STALE_SECONDS:
                    Path(entry.path).unlink()


def write_json(path: Path, value: object) -> None:
    """Write a value as JSON, whole or not at all."""
    write_atomically(path, json_bytes(value))


def json_bytes(value: object) -> bytes:
    """Return a value as the JSON that `write_json` writes."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def is_listed_in(folder: Path, name: str) -> bool:
    """Tell whether a folder holds a name.

    A look at the name alone may be answered from memory: a network file system remembers for a while what was not
    there, and asks its server when a folder is opened.
    """
    try:
        with os.scandir(folder) as scan:
            return any(entry.name == name for entry in scan)
    except FileNotFoundError:
        return False


def exists(path: Path) -> bool:
    """Tell whether a name is there, a dangling link too; what can't be looked at is not taken for gone.

    Raises:
        OSError: when it can't be told, as with EIO, ESTALE or EACCES.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def rename(source: Path, target: Path) -> None:
    """Rename a file or folder, within one file system."""
    if source.is_dir() and not source.is_symlink() and not os.access(source, os.W_OK):
        source.chmod(source.stat().st_mode | 0o700)  # a folder that moves needs write permission itself
    os.rename(source, target)  # noqa: PTH104


def sync_tree(root: Path) -> None:
    """Wait until all that lies below a folder has reached the disk.

    Raises:
        OSError: when a file's content could not be written, which whoever wrote it may not have been told.
    """
    for folder, _, names in os.walk(root):
        for name in names:
            with suppress(PermissionError):
                _sync_file(Path(folder, name))


def _sync_file(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link, a socket
            return
        raise
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a FIFO, or a file system that can't
            raise
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Ask for a folder's entries to reach the disk; some network file systems can't, and need not."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_own_file(path: Path, *, limit_bytes: int) -> bytes:
    """Read a regular file that belongs to this user, or in a shared folder to a member of its group.

    Raises:
        FileNotFoundError: when there is none.
        ValueError: when it is a link, a device, another user's, or larger than the limit.
        OSError: when it can't be read.
    """
    with open_own_file(path) as stream:
        data = stream.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise ValueError(f"{path} is larger than {limit_bytes} bytes")
    return data


def read_own_tail(path: Path, *, limit_bytes: int) -> bytes:
    """Read the end of a regular file that belongs to this user; raise as `read_own_file` does."""
    with open_own_file(path) as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(size - limit_bytes, 0))
        return stream.read(limit_bytes)


def open_own_file(path: Path) -> BinaryIO:
    """Open a regular file that belongs to this user; raise as `read_own_file` does."""
    # O_NONBLOCK: opening a FIFO must not hang.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise  # most often there is none: no second look at the disk
    except OSError as error:
        if path.is_symlink():
            raise ValueError(f"{path} is a link; a regular file is needed") from error
        raise
    stream = os.fdopen(descriptor, "rb")
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"{path} is no regular file")
        if not is_trusted(found, path.parent):
            raise ValueError(f"{path} belongs to user {found.st_uid}, not to {os.getuid()}")
    except BaseException:
        stream.close()
        raise
    return stream
