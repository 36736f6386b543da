"""Read the JSON lines that neuroflow's services log, from the end backwards, over all files that were put aside."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

LEVELS = ("debug", "info", "warning", "error", "critical")
# Processes write to one file: their lines stand in the order of the writes, which is nearly that of the times.
_SLACK = timedelta(minutes=1)
_BLOCK_BYTES = 64 * 1024
_LINE_LIMIT_BYTES = 1024 * 1024
_ROTATED = re.compile(r"\.(\d{1,4})")


@dataclass(frozen=True)
class Entry:
    """One line of a log; without values where it is not JSON."""

    raw: bytes
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The line as it is."""
        return self.raw.decode("utf-8", "replace")

    @property
    def at(self) -> datetime | None:
        """When it was written, None where the line doesn't say it."""
        try:
            moment = datetime.fromisoformat(str(self.values.get("timestamp", "")))
        except ValueError:
            return None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@dataclass(frozen=True)
class LogFilter:
    """Which lines are wanted; what is None or empty does not matter."""

    services: frozenset[str] = frozenset()
    level: str | None = None  # this one or a graver one
    run_ids: frozenset[int] = frozenset()
    workflow_run_id: int | None = None
    since: datetime | None = None

    def accepts(self, entry: Entry) -> bool:
        """Tell whether a line is wanted; one that is no JSON says too little for any filter."""
        values = entry.values
        if self.services and values.get("service") not in self.services:
            return False
        if self.level is not None and _rank(values.get("level")) < _rank(self.level):
            return False
        about = self.run_ids or self.workflow_run_id is not None
        if about and not (
            _is_one_of(values.get("run_id"), self.run_ids) or self._is_of_workflow(values.get("workflow_run_id"))
        ):
            return False
        return self.since is None or (entry.at is not None and entry.at >= self.since)

    def _is_of_workflow(self, value: object) -> bool:
        return self.workflow_run_id is not None and value == self.workflow_run_id

    def is_past(self, entry: Entry) -> bool:
        """Tell whether no earlier line can be wanted."""
        return self.since is not None and entry.at is not None and entry.at < self.since - _SLACK


def _is_one_of(value: object, ids: frozenset[int]) -> bool:
    return isinstance(value, int) and value in ids


def _rank(level: object) -> int:
    return LEVELS.index(level) if level in LEVELS else -1


def parse_line(raw: bytes) -> Entry:
    """Return a line of a log."""
    try:
        values = json.loads(raw)
    except (ValueError, RecursionError):
        return Entry(raw)
    return Entry(raw, values if isinstance(values, dict) else {})


def files_of(path: Path) -> list[Path]:
    """Return a log file and those that were put aside, the newest first; only those that are there."""
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return []
    numbered = [
        (int(found[1]), name)
        for name in names
        if name.startswith(path.name) and (found := _ROTATED.fullmatch(name[len(path.name) :]))
    ]
    return [*([path] if path.name in names else []), *(path.with_name(name) for _, name in sorted(numbered))]


def last_entries(paths: Sequence[Path], wanted: LogFilter, *, limit: int | None) -> list[Entry]:
    """Return the newest lines that are wanted, oldest first; no more is read than that takes.

    Args:
        paths: of one log, the newest first.
        limit: how many at most.
    """
    found: list[Entry] = []
    for path in paths:
        for raw in lines_backwards(path):
            entry = parse_line(raw)
            if wanted.accepts(entry):
                found.append(entry)
                if limit is not None and len(found) >= limit:
                    return found[::-1]
            elif wanted.is_past(entry):
                return found[::-1]
    return found[::-1]


def lines_backwards(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file from the last to the first, without line breaks, reading blocks from its end.

    A last line without its line break is one that is being written.
    """
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        return  # it was just deleted as the oldest one
    with stream:
        position = stream.seek(0, os.SEEK_END)
        rest = b""
        while position > 0:
            size = min(_BLOCK_BYTES, position)
            position -= size
            stream.seek(position)
            parts = (stream.read(size) + rest).split(b"\n")
            rest = parts[0][-_LINE_LIMIT_BYTES:]
            yield from (line for line in reversed(parts[1:]) if line)
        if rest:
            yield rest


_LOOKS = 50


class Follower:
    """Gives what is appended to a log, across any number of rotations."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: BinaryIO | None = None
        self._rest = b""
        with suppress(FileNotFoundError):
            self._stream = path.open("rb")
            self._stream.seek(0, os.SEEK_END)

    def read(self) -> list[Entry]:
        """Return the lines that were finished since the last call."""
        entries = self._drain()
        newer = self._newer()
        if newer:
            entries += self._drain()  # a line may have come between the reading and the rotation
        for stream in newer:
            self.close()
            self._stream, self._rest = stream, b""
            entries += self._drain()
        return entries

    def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _drain(self) -> list[Entry]:
        if self._stream is None:
            return []
        if os.fstat(self._stream.fileno()).st_size < self._stream.tell():
            self._stream.seek(0)  # cut in place, as logrotate's copytruncate does
        *lines, rest = (self._rest + self._stream.read()).split(b"\n")
        self._rest = rest[-_LINE_LIMIT_BYTES:]
        return [parse_line(line) for line in lines if line]

    def _newer(self) -> list[BinaryIO]:
        """Open the files that have come after the present one, oldest first."""
        former: list[tuple[int, int]] | None = None
        for _ in range(_LOOKS):
            newer, is_whole = self._look()
            found = [_identity(stream) for stream in newer]
            if is_whole or found == former:  # found twice alike: the present one was deleted as the oldest
                return newer
            # Rotated twice between listing and opening, maybe: a file in between may have been missed.
            former = found
            for stream in newer:
                stream.close()
        return []

    def _look(self) -> tuple[list[BinaryIO], bool]:
        """Open what seems newer than the present file, and tell whether that one was met on the way."""
        present = None if self._stream is None else _identity(self._stream)
        is_whole = present is None
        seen = {present}
        newer: list[BinaryIO] = []
        for path in files_of(self._path):
            try:
                stream = path.open("rb")
            except FileNotFoundError:
                continue
            identity = _identity(stream)
            if identity in seen:
                stream.close()
                if identity == present:
                    is_whole = True
                    break
                continue  # it was put aside while we looked, and stands under two names
            seen.add(identity)
            newer.append(stream)
            if present is None:
                break  # nothing was open: only the newest file is new
        return newer[::-1], is_whole


def _identity(stream: BinaryIO) -> tuple[int, int]:
    found = os.fstat(stream.fileno())
    return found.st_dev, found.st_ino
