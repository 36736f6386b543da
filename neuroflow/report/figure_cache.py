"""Keep key figures between reports, as long as the files that they were read from are the same."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from neuroflow.adapters.key_figures import KeyFigure, KeyFigures, Region, RegionMeans
from neuroflow.cluster.files import read_own_file, rewrite

VERSION = 3  # of the file; another one is made anew
_MOST_BYTES = 512 * 1024 * 1024


class FigureCache:
    """Figures by key, with path, mtime and size of each of their files; what has no file is not kept.

    The regions of an atlas are written once for all sessions. An entry without `means` was made when the values per
    region were not wanted: too many for a page.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._old, self._atlases = _load(path) if path is not None else ({}, [])
        self._numbers = {regions: number for number, regions in enumerate(self._atlases)}
        self._new: dict[str, Any] = {}

    def get(self, key: str, output: Path, *, with_regions: bool) -> KeyFigures | None:
        """Return what was kept under a key, None where there is too little or a file has changed."""
        entry = self._old.get(key)
        if entry is None or (with_regions and "means" not in entry):
            return None
        try:
            if any(_stamp(output / name) != stamp for name, stamp in entry["files"].items()):
                return None
            figures = tuple(KeyFigure(*values) for values in entry["figures"])
            means = tuple(self._means(*row) for row in entry["means"]) if with_regions else ()
        except (AttributeError, IndexError, KeyError, TypeError):
            return None
        self._new[key] = entry
        return KeyFigures(figures, regions=means)

    def put(self, key: str, output: Path, found: KeyFigures, *, with_regions: bool) -> None:
        """Keep figures, with what their files are like now."""
        files = {one.source: _stamp(output / one.source) for one in found.figures}
        if files and None not in files.values():
            rows = [[one.name, one.value, one.unit, one.label, one.source] for one in found.figures]
            self._new[key] = {"files": files, "figures": rows}
            if with_regions:
                self._new[key]["means"] = [
                    [one.name, one.label, self._number(one.regions), one.values] for one in found.regions
                ]

    def _number(self, regions: tuple[Region, ...]) -> int:
        if regions not in self._numbers:
            self._numbers[regions] = len(self._atlases)
            self._atlases.append(regions)
        return self._numbers[regions]

    def _means(self, name: str, label: str, number: int, values: list[float | None]) -> RegionMeans:
        return RegionMeans(name, label, self._atlases[number], tuple(values))

    def save(self) -> None:
        """Write what is to be kept; whoever may not write there does without."""
        if self._path is None or self._new == self._old:
            return
        content = {"version": VERSION, "entries": self._old | self._new, "atlases": self._atlases}
        data = json.dumps(content, separators=(",", ":")).encode()
        with suppress(OSError):
            rewrite(self._path, gzip.compress(data, compresslevel=3))


def _load(path: Path) -> tuple[dict[str, Any], list[tuple[Region, ...]]]:
    try:
        value = json.loads(gzip.decompress(read_own_file(path, limit_bytes=_MOST_BYTES)))
    except (OSError, ValueError, EOFError):  # none yet, cut off, or another user's
        return {}, []
    if not isinstance(value, Mapping) or value.get("version") != VERSION or not isinstance(value["entries"], dict):
        return {}, []
    return value["entries"], [tuple((index, label) for index, label in regions) for regions in value["atlases"]]


def _stamp(path: Path) -> list[int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_mtime_ns, found.st_size]
