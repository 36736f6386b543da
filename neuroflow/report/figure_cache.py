"""Keep key figures between reports, as long as the files that they were read from are the same."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from neuroflow.adapters.key_figures import KeyFigure
from neuroflow.cluster.files import read_own_file, write_atomically

VERSION = 1  # of the file; another one is made anew
_MOST_BYTES = 512 * 1024 * 1024


class FigureCache:
    """Figures by key, with path, mtime and size of each of their files; what has no file is not kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._old = _load(path) if path is not None else {}
        self._new: dict[str, Any] = {}

    def get(self, key: str, output: Path) -> tuple[KeyFigure, ...] | None:
        """Return what was kept under a key, None where there is nothing or a file has changed."""
        entry = self._old.get(key)
        if entry is None:
            return None
        try:
            if any(_stamp(output / name) != stamp for name, stamp in entry["files"].items()):
                return None
            figures = tuple(KeyFigure(*values) for values in entry["figures"])
        except (AttributeError, KeyError, TypeError):
            return None
        self._new[key] = entry
        return figures

    def put(self, key: str, output: Path, figures: tuple[KeyFigure, ...]) -> None:
        """Keep figures, with what their files are like now."""
        files = {one.source: _stamp(output / one.source) for one in figures}
        if files and None not in files.values():
            rows = [[one.name, one.value, one.unit, one.label, one.source] for one in figures]
            self._new[key] = {"files": files, "figures": rows}

    def save(self) -> None:
        """Write what is to be kept; whoever may not write there does without."""
        if self._path is None or self._new == self._old:
            return
        data = json.dumps({"version": VERSION, "entries": self._old | self._new}, separators=(",", ":")).encode()
        with suppress(OSError):
            write_atomically(self._path, gzip.compress(data, compresslevel=3), durable=False)


def _load(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(gzip.decompress(read_own_file(path, limit_bytes=_MOST_BYTES)))
    except (OSError, ValueError, EOFError):  # none yet, cut off, or another user's
        return {}
    if not isinstance(value, Mapping) or value.get("version") != VERSION or not isinstance(value["entries"], dict):
        return {}
    return value["entries"]


def _stamp(path: Path) -> list[int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_mtime_ns, found.st_size]
