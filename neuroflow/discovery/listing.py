"""List a session folder's files by stat alone, and sum them up in a fingerprint."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from neuroflow.discovery.problems import Problems

UNLISTABLE = "folder or link that could not be looked into"
LINK_OUTSIDE = "link that leaves the DICOM root, not followed"
LINK_TO_FOLDER = "link to a folder, not followed"
LINK_BROKEN = "link to nothing"
SPECIAL = "neither file nor folder"

FINGERPRINT_BYTES = 20
SUFFIX_BYTES = 4


@dataclass(frozen=True)
class CountedFile:
    """One file of a session; `relative` is its place below the session folder."""

    relative: str
    size: int
    mtime_ns: int
    is_link: bool = False


@dataclass(frozen=True)
class Listing:
    """A session folder's files, sorted by place, and what could not be counted."""

    folder: Path
    files: tuple[CountedFile, ...]
    problems: Problems = field(default_factory=Problems)

    @property
    def bytes(self) -> int:
        """The size of all files."""
        return sum(item.size for item in self.files)

    @property
    def newest_mtime(self) -> float:
        """When the newest file was changed (seconds since the epoch); 0 without files."""
        return max((item.mtime_ns for item in self.files), default=0) / 1e9

    def fingerprint(self) -> str:
        """Return a hash over place, size and time of every file."""
        digest = hashlib.blake2b(digest_size=FINGERPRINT_BYTES)
        for item in self.files:
            digest.update(os.fsencode(item.relative) + b"\0%d\0%d\0" % (item.size, item.mtime_ns))
        return digest.hexdigest()


def short_digest(parts: Iterable[str]) -> str:
    """Return a short hash of some texts, in their order."""
    digest = hashlib.blake2b(digest_size=SUFFIX_BYTES)
    for part in parts:
        digest.update(os.fsencode(part) + b"\0")
    return digest.hexdigest()


def is_ignored(name: str, ignore: Iterable[str]) -> bool:
    """Tell whether a file or folder name is not to be counted."""
    return any(fnmatchcase(name, pattern) for pattern in ignore)


def list_files(folder: Path, *, root: Path, ignore: Iterable[str]) -> Listing:
    """List all files below `folder`; links to files are followed as far as they stay within `root`.

    Folders that can't be listed below `folder` are problems of the listing.

    Raises:
        OSError: when `folder` itself can't be listed, which must not pass for an empty session.
    """
    walk = _Walk(folder, Path(os.path.realpath(root)), tuple(ignore))
    files = sorted(walk.run(), key=lambda item: item.relative)
    return Listing(folder=folder, files=tuple(files), problems=walk.problems)


class _Walk:
    """One walk through a folder, without recursion: a tree may be deeper than Python's stack."""

    def __init__(self, folder: Path, root: Path, ignore: tuple[str, ...]) -> None:
        self.folder = folder
        self.root = root
        self.ignore = ignore
        self.problems = Problems()

    def run(self) -> Iterator[CountedFile]:
        waiting = [""]
        while waiting:
            place = waiting.pop()
            for entry, relative in self._entries(place):
                try:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(relative)
                    elif (item := self._file(entry, relative)) is not None:
                        yield item
                except FileNotFoundError:
                    continue  # it vanished while we looked: the next scan sees another fingerprint
                except OSError:
                    self.problems.add(UNLISTABLE, relative)

    def _entries(self, place: str) -> list[tuple[os.DirEntry[str], str]]:
        try:
            with os.scandir(self.folder / place) as entries:
                found = [entry for entry in entries if not is_ignored(entry.name, self.ignore)]
        except OSError as error:
            if not place:
                raise
            if isinstance(error, FileNotFoundError):
                return []  # as for a file: it vanished
            self.problems.add(UNLISTABLE, place)
            return []
        found.sort(key=lambda entry: entry.name)
        return [(entry, f"{place}/{entry.name}" if place else entry.name) for entry in found]

    def _file(self, entry: os.DirEntry[str], relative: str) -> CountedFile | None:
        if entry.name.upper() == "DICOMDIR":
            return None  # an index, which viewers write anew: it must not make a session look changed
        is_link = entry.is_symlink()
        if is_link and (trouble := self._link_trouble(entry)):
            self.problems.add(trouble, relative)
            return None
        status = entry.stat()
        if not stat.S_ISREG(status.st_mode):
            self.problems.add(SPECIAL, relative)  # opening a pipe would hang
            return None
        return CountedFile(relative, status.st_size, status.st_mtime_ns, is_link)

    def _link_trouble(self, entry: os.DirEntry[str]) -> str | None:
        target = Path(os.path.realpath(entry.path))
        if not target.is_relative_to(self.root):
            return LINK_OUTSIDE
        if target.is_dir():
            return LINK_TO_FOLDER
        return None if target.exists() else LINK_BROKEN
