"""Files and folders that one user has alone, or that the members of one UNIX group share; standard library only.

A process shares once it was told to, by the configuration or by the folder of its job. A shared folder shows it by its
mode: setgid, all for the group, nothing for others; what such a process makes inside follows it.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PRIVATE_FOLDER = 0o700
SHARED_FOLDER = 0o2770
PRIVATE_FILE = 0o600
SHARED_FILE = 0o660
# For the group, nothing for others: of this process, and of all that it starts.
_SHARED_UMASK = 0o007


@dataclass
class _Process:
    """Whether this process shares: a folder's mode alone may be its site's habit, and nobody's wish."""

    shares: bool = False


_process = _Process()


def share() -> None:
    """Share what this process makes in shared folders, and trust what the members of their group made there."""
    _process.shares = True
    os.umask(_SHARED_UMASK)


def is_shared(folder: Path) -> bool:
    """Tell whether a folder is for the members of its group, and for nobody else."""
    try:
        return _says_shared(folder.stat().st_mode)
    except OSError:
        return False


def folder_mode(parent: Path) -> int:
    """Return the mode of a new folder inside another one."""
    return SHARED_FOLDER if _process.shares and is_shared(parent) else PRIVATE_FOLDER


def make_folder(folder: Path) -> None:
    """Make a folder that is as closed as the one it lies in, whatever the umask; harmless when repeated.

    Raises:
        OSError: when it can't be made, or is another user's.
    """
    folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    os.chmod(folder, folder_mode(folder.parent))  # noqa: PTH101  # not mkdir's mode: that is subject to the umask


def open_private(path: Path, flags: int) -> int:
    """Open a file; one that is made is its owner's alone, or the group's in a shared folder, whatever the umask.

    Raises:
        OSError: when it can't be opened.
    """
    descriptor = os.open(path, flags | os.O_CLOEXEC, PRIVATE_FILE)
    if flags & os.O_CREAT and _process.shares:
        with suppress(OSError):
            share_file(descriptor, path.parent)
    return descriptor


def share_file(descriptor: int, folder: Path) -> None:
    """Give an open file of ours to the group, where it lies in a shared folder.

    Raises:
        OSError: when its mode can't be changed.
    """
    found = os.fstat(descriptor)
    if found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) != SHARED_FILE and is_shared(folder):
        os.fchmod(descriptor, SHARED_FILE)


def is_trusted(found: os.stat_result, folder: Path) -> bool:
    """Tell whether a file was made by this user, or in a shared folder by a member of its group."""
    if found.st_uid == os.getuid():
        return True
    if not _process.shares:
        return False
    try:
        around = folder.stat()
    except OSError:
        return False
    return _says_shared(around.st_mode) and is_member(found.st_uid, around.st_gid)


def owner_of(folder: Path) -> int | None:
    """Return the user whose attempt a folder is; None for one that is not there, or that is this user's own."""
    try:
        uid = folder.stat().st_uid
    except OSError:
        return None
    return None if uid == os.getuid() else uid


def is_member(uid: int, gid: int) -> bool:
    """Tell whether a user belongs to a group; root does, who may do everything anyway."""
    if uid == 0:
        return True
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return False
    return gid in os.getgrouplist(entry.pw_name, entry.pw_gid)


def user_name(uid: int) -> str:
    """Return a user's name; nothing for one that this machine doesn't know."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


def group_id(name: str) -> int | None:
    """Return the number of a group; None for one that this machine doesn't know."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def _says_shared(mode: int) -> bool:
    return bool(mode & stat.S_ISGID) and mode & 0o777 == 0o770
