"""The folders of attempts, as whoever submits and polls needs them; standard library only: clusters run it too."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from neuroflow.cluster import claim
from neuroflow.cluster.description import describe_dataset, put_bytes_in_place
from neuroflow.cluster.files import exists, read_own_file, read_own_tail, write_atomically
from neuroflow.cluster.globs import matches, walk
from neuroflow.cluster.publish import has_begun
from neuroflow.sharing import make_folder

# Of any one file: an exit record holds the end of a log, and lists of names that are cut.
LIMIT_BYTES = 1024 * 1024
_MOST_FOUND = 1000


@dataclass(frozen=True)
class FileLook:
    """What a file holds, or why it can't be trusted or read; neither where there is none."""

    data: bytes | None = None
    problem: str = ""


@dataclass(frozen=True)
class FoundFile:
    """A file below a folder that was searched."""

    path: str  # relative to that folder
    bytes: int
    modified: float  # seconds since the epoch


class Folders(Protocol):
    """The attempts' folders of one cluster, wherever it is; each call takes as many as there are.

    Folders have the names by which the cluster knows them. Every call may be repeated without harm. A file or folder
    that can't be written raises OSError on this machine, and ClusterError elsewhere; so does a host that can't be
    reached.
    """

    def make(self, folders: Mapping[str, Mapping[str, bytes]]) -> None:
        """Make folders that are closed to other users, and write these files in them, each whole."""
        ...

    def look(self, folders: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, FileLook]]:
        """Read files of these names that belong to this user, by folder and name; never raises for one of them."""
        ...

    def tails(self, paths: Sequence[str], *, limit_bytes: int) -> dict[str, FileLook]:
        """Read the ends of files that belong to this user, by path; never raises for one of them."""
        ...

    def publishing(self, folders: Sequence[str]) -> frozenset[str]:
        """Return those of the folders whose attempt began to publish its results."""
        ...

    def revoke(self, folder: str) -> bool:
        """Take the claim of a folder that no job has; False when one has."""
        ...

    def revoke_all(self, folders: Sequence[str]) -> frozenset[str]:
        """Take the claims of those of the folders that no job has, and return these."""
        ...

    def fence(self, folders: Sequence[str]) -> None:
        """Forbid attempts to work from now on."""
        ...

    def read_from(self, path: str, *, offset: int, limit_bytes: int) -> bytes:
        """Read a piece of a log.

        Args:
            offset: where it starts; below zero, counted from the end.

        Raises:
            FileNotFoundError: when there is none.
        """
        ...

    def find(self, folders: Mapping[str, Sequence[str]]) -> dict[str, list[FoundFile]]:
        """Return the files that globs name below folders, by folder; at most a thousand of each."""
        ...

    def missing(self, paths: Sequence[str]) -> frozenset[str]:
        """Return those of the paths that are not there."""
        ...

    def place(self, path: str, data: bytes) -> None:
        """Write a file of a dataset, whole, with the folders that it needs."""
        ...

    def describe(self, dataset: str, entries: Sequence[Mapping[str, Any]], *, extra: Mapping[str, Any]) -> None:
        """Name in a dataset's description what made it; see `cluster.description`.

        Raises:
            ValueError: when a description is there that can't be read; ClusterError elsewhere than on this machine.
        """
        ...


class LocalFolders:
    """Folders on a file system of this machine."""

    def make(self, folders: Mapping[str, Mapping[str, bytes]]) -> None:
        """Make folders that are closed to other users, and write these files in them, each whole."""
        for folder, files in folders.items():
            make_private_folder(Path(folder))
            for name, data in files.items():
                # Not waiting for the disk: an array has thousands of files. A job that finds none is tried again.
                write_atomically(Path(folder) / name, data, durable=False)

    def look(self, folders: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, FileLook]]:
        """Read files of these names that belong to this user, by folder and name."""
        return {folder: {name: look_at(Path(folder) / name) for name in names} for folder in folders}

    def tails(self, paths: Sequence[str], *, limit_bytes: int) -> dict[str, FileLook]:
        """Read the ends of files that belong to this user, by path."""
        return {path: _look(partial(read_own_tail, Path(path), limit_bytes=limit_bytes)) for path in paths}

    def publishing(self, folders: Sequence[str]) -> frozenset[str]:
        """Return those of the folders whose attempt began to publish its results."""
        return frozenset(folder for folder in folders if has_begun(Path(folder)))

    def revoke(self, folder: str) -> bool:
        """Take the claim of a folder that no job has; False when one has."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        return claim.revoke(Path(folder))

    def revoke_all(self, folders: Sequence[str]) -> frozenset[str]:
        """Take the claims of those of the folders that no job has, and return these."""
        return frozenset(folder for folder in folders if self.revoke(folder))

    def fence(self, folders: Sequence[str]) -> None:
        """Forbid attempts to work from now on."""
        for folder in folders:
            claim.fence(Path(folder))

    def read_from(self, path: str, *, offset: int, limit_bytes: int) -> bytes:
        """Read a piece of a log."""
        with Path(path).open("rb") as stream:
            stream.seek(offset if offset >= 0 else max(stream.seek(0, os.SEEK_END) + offset, 0))
            return stream.read(limit_bytes)

    def find(self, folders: Mapping[str, Sequence[str]]) -> dict[str, list[FoundFile]]:
        """Return the files that globs name below folders, by folder; at most a thousand of each."""
        return {
            folder: list(islice(_found(Path(folder), patterns), _MOST_FOUND)) for folder, patterns in folders.items()
        }

    def missing(self, paths: Sequence[str]) -> frozenset[str]:
        """Return those of the paths that are not there."""
        return frozenset(path for path in paths if _is_gone(Path(path)))

    def place(self, path: str, data: bytes) -> None:
        """Write a file of a dataset, whole, with the folders that it needs."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        put_bytes_in_place(Path(path), data)

    def describe(self, dataset: str, entries: Sequence[Mapping[str, Any]], *, extra: Mapping[str, Any]) -> None:
        """Name in a dataset's description what made it."""
        describe_dataset(Path(dataset), entries, extra=extra)


def _found(folder: Path, patterns: Sequence[str]) -> Iterator[FoundFile]:
    if not folder.is_dir():
        return
    deep = any("/" in pattern for pattern in patterns)
    entries = walk(folder) if deep else ((entry.name, entry) for entry in sorted(os.scandir(folder), key=_name))
    for path, entry in entries:
        if any(matches(path, pattern) for pattern in patterns) and entry.is_file(follow_symlinks=False):
            try:
                found = entry.stat(follow_symlinks=False)
            except OSError:
                continue  # it has vanished
            yield FoundFile(path, found.st_size, found.st_mtime)


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def make_private_folder(folder: Path) -> None:
    """Make a folder, as closed as the one it lies in; so is the folder around it, where that is new too.

    Raises:
        OSError: when it can't be made, is another user's, or stays open on a file system that keeps no modes: others
            could change what the job runs.
    """
    for path in (folder.parent, folder):
        if path == folder or not path.exists():
            make_folder(path)
    mode = folder.stat().st_mode & 0o777
    if mode & 0o002:
        raise PermissionError(
            f"{folder} stays open to all users (mode {mode:04o}), although it was closed: "
            "put paths.state_dir on a file system that keeps file modes"
        )


def _is_gone(path: Path) -> bool:
    try:
        return not exists(path)
    except OSError:
        return False


def look_at(path: Path) -> FileLook:
    """Read a small file that belongs to this user."""
    return _look(partial(read_own_file, path, limit_bytes=LIMIT_BYTES))


def _look(read: Callable[[], bytes]) -> FileLook:
    try:
        return FileLook(read())
    except FileNotFoundError:
        return FileLook()
    except (OSError, ValueError) as error:
        return FileLook(problem=str(error))
