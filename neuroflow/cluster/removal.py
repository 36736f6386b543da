"""Delete a folder below a root, and nothing else: no symbolic link is followed, no file system is left."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

TRASH_PREFIX = ".neuroflow-trash-"


class NotRemovable(OSError):
    """Say why a folder is left alone."""


def size_of(root: Path, parts: Sequence[str]) -> int:
    """Return how much room a folder takes (bytes), without following links.

    Raises:
        OSError: when it can't be looked at, or another file system is mounted in it.
    """
    with _parent(root, parts) as parent:
        return _check_and_measure(parent, parts[-1])


def remove(root: Path, parts: Sequence[str]) -> int:
    """Delete the folder that lies at `parts` below `root`; return how much room it took (bytes).

    It is renamed first, so that what is half deleted when the process is killed is never taken for whole.

    Raises:
        OSError: when it can't be deleted; what is left of it has the name of trash.
    """
    if not shutil.rmtree.avoids_symlink_attacks:
        raise NotRemovable("this system can't delete folders without following links that are put in meanwhile")
    with _parent(root, parts) as parent:
        size = _check_and_measure(parent, parts[-1])
        trash = parts[-1]
        if not trash.startswith(TRASH_PREFIX):
            trash = TRASH_PREFIX + secrets.token_hex(6)
            os.rename(parts[-1], trash, src_dir_fd=parent, dst_dir_fd=parent)
        _open_up(parent, trash)
        shutil.rmtree(trash, dir_fd=parent)
    return size


def remove_if_empty(root: Path, parts: Sequence[str]) -> bool:
    """Delete a folder that holds nothing; tell whether it is gone."""
    with suppress(OSError), _parent(root, parts) as parent:
        os.rmdir(parts[-1], dir_fd=parent)
        return True
    return False


def folders_in(root: Path, parts: Sequence[str] = ()) -> list[str]:
    """Return the names of the folders below a root, links left out; none where it can't be looked at."""
    with suppress(OSError), _folder(root, parts) as folder, os.scandir(folder) as scan:
        return sorted(entry.name for entry in scan if entry.is_dir(follow_symlinks=False))
    return []


@contextmanager
def _folder(root: Path, parts: Sequence[str]) -> Iterator[int]:
    """Open a folder below a root step by step; a link on the way ends it. The root itself may be one."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            if part in ("", ".", "..") or "/" in part:
                raise NotRemovable(f"{part!r} is no name of a folder")
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            following = os.open(part, flags, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = following
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _parent(root: Path, parts: Sequence[str]) -> Iterator[int]:
    if not parts or parts[-1] in ("", ".", "..") or "/" in parts[-1]:
        raise NotRemovable(f"{root} itself is not deleted")
    with _folder(root, parts[:-1]) as parent:
        yield parent


def _check_and_measure(parent: int, name: str) -> int:
    found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if not stat.S_ISDIR(found.st_mode):
        raise NotRemovable(f"{name} is no folder")
    if found.st_dev != os.fstat(parent).st_dev:
        raise NotRemovable(f"another file system is mounted at {name}")
    size = 0
    for path, _, files, folder in os.fwalk(name, dir_fd=parent, follow_symlinks=False):
        if os.fstat(folder).st_dev != found.st_dev:
            raise NotRemovable(f"another file system is mounted at {path}")
        for file in files:
            with suppress(OSError):  # it has just gone
                size += os.stat(file, dir_fd=folder, follow_symlinks=False).st_blocks * 512
    return size


def _open_up(parent: int, name: str) -> None:
    """Make folders writable that a tool left read-only: their files could not be deleted."""
    os.chmod(name, 0o700, dir_fd=parent)
    for _, folders, _, descriptor in os.fwalk(name, dir_fd=parent, follow_symlinks=False):
        for folder in folders:
            found = os.stat(folder, dir_fd=descriptor, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode) and stat.S_IMODE(found.st_mode) & 0o700 != 0o700:
                os.chmod(folder, 0o700, dir_fd=descriptor)
