"""Find the tools' own HTML reports of a whole cohort: with one listing a dataset, not one a subject."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

WITH_REPORTS = ("qsiprep", "qsirecon")
_NAME = re.compile(r"sub-(?P<subject>[A-Za-z0-9]+)(?:_ses-(?P<session>[A-Za-z0-9]+))?(?:_.*)?\.html", re.ASCII)


class ReportIndex:
    """The reports of datasets, each listed when it is first asked for; names as `key_figures.tool_reports` has them."""

    def __init__(self) -> None:
        self._listed: dict[Path, dict[str, list[Path]]] = {}
        self._inner: dict[Path, list[Path]] = {}

    def find(self, pipeline: str, output: Path, *, subject: str, session: str | None) -> tuple[Path, ...]:
        """Return the reports of a session, or of all of a subject's where none is named."""
        if pipeline not in WITH_REPORTS:
            return ()
        found: list[Path] = []
        for dataset in self._datasets(pipeline, output):
            listed = self._reports(dataset).get(subject, [])
            found += [path for path in listed if session is None or _session_of(path) in (None, session)]
        if not found and pipeline == "qsiprep":
            found = _inside(output / f"sub-{subject}", session)
        return tuple(sorted(found))

    def _datasets(self, pipeline: str, output: Path) -> Iterator[Path]:
        yield output
        if pipeline == "qsirecon":
            if output not in self._inner:
                self._inner[output] = _folders(output / "derivatives", "qsirecon-")
            yield from self._inner[output]

    def _reports(self, dataset: Path) -> dict[str, list[Path]]:
        known = self._listed.get(dataset)
        if known is None:
            known = self._listed[dataset] = {}
            for name in _names(dataset):
                match = _NAME.fullmatch(name)
                if match is not None:
                    known.setdefault(match["subject"], []).append(dataset / name)
        return known


def _session_of(path: Path) -> str | None:
    match = _NAME.fullmatch(path.name)
    return None if match is None else match["session"]


def _inside(folder: Path, session: str | None) -> list[Path]:
    """Return what QSIPrep leaves in a session's folder where it works session by session."""
    folders = [folder / f"ses-{session}"] if session is not None else _folders(folder, "ses-")
    return [one / name for one in folders for name in _names(one) if _NAME.fullmatch(name)]


def _folders(folder: Path, prefix: str) -> list[Path]:
    return [path for name in _names(folder) if name.startswith(prefix) and (path := folder / name).is_dir()]


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError:  # purged, or another user's
        return []
