"""The folders of attempts, as whoever submits and polls needs them; standard library only: clusters run it too."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from neuroflow.cluster import claim
from neuroflow.cluster.files import read_own_file, read_own_tail, write_atomically
from neuroflow.cluster.publish import has_begun
from neuroflow.sharing import make_folder

# Of any one file: an exit record holds the end of a log, and lists of names that are cut.
LIMIT_BYTES = 1024 * 1024


@dataclass(frozen=True)
class FileLook:
    """What a file holds, or why it can't be trusted or read; neither where there is none."""

    data: bytes | None = None
    problem: str = ""


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
        return claim.take(Path(folder), claim.REVOKED)

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
