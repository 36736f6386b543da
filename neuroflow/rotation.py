"""A file of lines that several processes append to, and that any of them puts aside once it is full."""

from __future__ import annotations

import fcntl
import io
import os
from contextlib import suppress
from pathlib import Path

from neuroflow.sharing import open_private

_LONGEST_WRITE = 1 << 20


class RotatedFile:
    """Append whole lines; `FILE` becomes `FILE.1`, `FILE.1` becomes `FILE.2`, and so on.

    Each line is one write to a file opened for appending, so that lines of several processes don't mix. A process that
    still has the former file open when another one puts it aside finishes its line there, and turns to the new one at
    the next. Nobody ever waits for a lock: a process that was stopped while it held one would stop all others.
    """

    def __init__(self, path: Path, *, max_bytes: int, kept: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._kept = kept
        self._descriptor = self._open()

    def write(self, lines: bytes) -> int:
        """Append lines, the last of which ends with a line break, after a rotation if one is due.

        Raises:
            OSError: when they can't be written.
        """
        # A full disk or a lost lock must not stop the work: the lines go to the old file.
        with suppress(OSError):
            self._follow()
            if os.fstat(self._descriptor).st_size >= self._max_bytes:
                self._rotate()
                self._follow()
        view = memoryview(lines)
        while view:
            view = view[os.write(self._descriptor, view[:_LONGEST_WRITE]) :]
        return len(lines)

    def flush(self) -> None:
        """Do nothing: what was written is with the system already."""

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):
            os.close(self._descriptor)
        self._descriptor = -1

    def _open(self) -> int:
        return open_private(self._path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)

    def _follow(self) -> None:
        """Open the file anew where another one has taken its name."""
        ours = os.fstat(self._descriptor)
        try:
            named = self._path.stat()
        except FileNotFoundError:
            named = None
        if named is None or (named.st_dev, named.st_ino) != (ours.st_dev, ours.st_ino):
            former, self._descriptor = self._descriptor, self._open()
            os.close(former)

    def _rotate(self) -> None:
        lock = open_private(self._path.with_name(f"{self._path.name}.lock"), os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Another process may have been first.
            if self._path.stat().st_size < self._max_bytes:
                return
            for number in range(self._kept - 1, 0, -1):
                older = self._numbered(number)
                if older.exists():
                    older.replace(self._numbered(number + 1))
            self._path.replace(self._numbered(1))
        finally:
            os.close(lock)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


class RotatedText(io.TextIOBase):
    """The same file as a stream of text, for log handlers."""

    def __init__(self, file: RotatedFile, *, prefix: str = "") -> None:
        self._file = file
        self._prefix = prefix

    def write(self, text: str) -> int:
        """Write whole lines."""
        if text.strip("\n"):
            lines = "".join(f"{self._prefix}{line}\n" for line in text.rstrip("\n").split("\n"))
            self._file.write(lines.encode("utf-8", "backslashreplace"))
        return len(text)
