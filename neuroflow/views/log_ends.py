"""The end of what attempts wrote: of the tool's errors, or else of its output."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from neuroflow.views.run_logs import STDERR_NAME, STDOUT_NAME

if TYPE_CHECKING:
    from neuroflow.cluster.folders import Folders

LINES = 20
_BYTES = 16 * 1024
_NAMES = (STDERR_NAME, STDOUT_NAME)
_LINE_END = re.compile(r"[\r\n]+")  # progress bars write over a line that way


@dataclass(frozen=True)
class LogEnd:
    """The last lines of a log, without empty ones; no path and no line where none is left or it is another user's."""

    path: str = ""
    lines: tuple[str, ...] = ()


def log_ends(folders: Folders, attempts: Sequence[str]) -> dict[str, LogEnd]:
    """Return the end of the log of each attempt, by its folder, with one look at all of them.

    Raises:
        ClusterError: when the folders lie on another machine that does not answer.
    """
    looks = folders.tails([f"{attempt}/{name}" for attempt in attempts for name in _NAMES], limit_bytes=_BYTES)
    ends = {}
    for attempt in attempts:
        found = (LogEnd(path, _lines(looks[path].data)) for path in (f"{attempt}/{name}" for name in _NAMES))
        ends[attempt] = next((end for end in found if end.lines), LogEnd())
    return ends


def _lines(data: bytes | None) -> tuple[str, ...]:
    text = (data or b"").decode("utf-8", errors="replace")
    return tuple(line.rstrip()[: _BYTES // LINES] for line in _LINE_END.split(text) if line.strip())[-LINES:]
