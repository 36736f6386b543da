"""QSIParc's tables on disk: which map over which atlas each is, and its cells exactly as they are written.

QSIParc 0.1.2 writes `sub-X/ses-Y/dwi/atlas-A/sub-X_ses-Y_atlas-A_software-S_<entities of the map>_diffmap.tsv`, one row
per region, with `index`, `label`, `hemisphere` and a column per statistic.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from neuroflow.domain import is_label
from neuroflow.errors import AdapterError

INDEX_COLUMN = "index"
LABEL_COLUMN = "label"
_SUFFIX = "_diffmap.tsv"
# Which acquisition a map comes from, not what it measures: dir-AP in one session and dir-PA in another are one map.
_ACQUISITION = frozenset(("acq", "ce", "chunk", "dir", "echo", "part", "rec", "run", "task"))
_LARGEST_BYTES = 64_000_000


@dataclass(frozen=True, order=True)
class ScalarMap:
    """What a table measures: a map of one software, summed up over the regions of one atlas."""

    atlas: str
    software: str  # QSIRecon's name of the reconstruction, such as AMICONODDI
    model: str  # tensor, noddi, dki, ...
    parameter: str  # fa, md, icvf, ...
    variant: str = ""  # what else tells it from other maps, such as desc-debiased

    @property
    def name(self) -> str:
        """All parts that are set, for figure and column names; an atlas' name may start with a digit: not first."""
        parts = (self.parameter, self.atlas, self.software, self.model, self.variant)
        return "_".join(part for part in parts if part)


@dataclass(frozen=True)
class TableFile:
    """One table of one session."""

    path: Path
    scalar_map: ScalarMap
    acquisition: str  # the entities that name the acquisition, such as dir-AP_run-1; often empty


@dataclass(frozen=True)
class SessionTables:
    """A session's tables, by name, and in words what was found in their place."""

    files: tuple[TableFile, ...]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class RegionTable:
    """The cells of a table, as text; each row has as many as there are columns."""

    columns: tuple[str, ...]
    rows: tuple[Sequence[str], ...]

    def column(self, name: str) -> tuple[str, ...]:
        """Return a column's cells.

        Raises:
            AdapterError: naming the columns that there are.
        """
        if name not in self.columns:
            raise AdapterError(f"there is no column '{name}'; there are: {', '.join(self.columns)}")
        place = self.columns.index(name)
        return tuple(row[place] for row in self.rows)


def find_tables(output: Path, *, subject: str, session: str) -> SessionTables:
    """Find a session's tables; a folder that is not there has none.

    Raises:
        AdapterError: when the subject or session is no label.
    """
    if not (is_label(subject) and is_label(session)):
        raise AdapterError(f"{subject!r} and {session!r} are no labels: letters and digits only")
    prefix = f"sub-{subject}_ses-{session}_"
    files: list[TableFile] = []
    problems: list[str] = []
    for folder in _entries(output / f"sub-{subject}" / f"ses-{session}" / "dwi", problems, start="atlas-"):
        for path in _entries(folder, problems, end=_SUFFIX):
            if path.name.startswith(prefix):
                files.append(parse_name(path))
            else:
                problems.append(f"{path} lies in the folder of sub-{subject}/ses-{session}, and names another")
    return SessionTables(tuple(files), tuple(problems))


def _entries(folder: Path, problems: list[str], *, start: str = "", end: str = "") -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.name.startswith(start) and entry.name.endswith(end))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        problems.append(f"{folder} can't be read: {error.strerror}")
        return []
    return [folder / name for name in names]


def parse_name(path: Path) -> TableFile:
    """Read what a table holds from its file name."""
    pairs = [part.partition("-")[::2] for part in path.name.removesuffix(_SUFFIX).split("_")]
    entities = {key: value for key, value in pairs if value and key not in ("sub", "ses", "space")}
    acquisition = "_".join(f"{key}-{value}" for key, value in entities.items() if key in _ACQUISITION)
    atlas, software, model = (entities.pop(key, "") for key in ("atlas", "software", "model"))
    parameter = entities.pop("param", "") or entities.pop("desc", "")  # as QSIParc names its scalars
    variant = "_".join(f"{key}-{value}" for key, value in entities.items() if key not in _ACQUISITION)
    scalar_map = ScalarMap(atlas=atlas, software=software, model=model, parameter=parameter, variant=variant)
    return TableFile(path, scalar_map, acquisition)


def read_table(path: Path) -> RegionTable:
    """Read a table.

    Raises:
        AdapterError: when the file is missing, cut short, or no table with one row per region.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            text = file.read(_LARGEST_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise AdapterError(f"{path} can't be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        return parse_table(text)
    except AdapterError as error:
        raise AdapterError(f"{path}: {error}") from error


def parse_table(text: str) -> RegionTable:
    """Read a table's text.

    Raises:
        AdapterError: when it is cut short, too large, or no table with one row per region.
    """
    if len(text) > _LARGEST_BYTES:
        raise AdapterError(f"more than {_LARGEST_BYTES:,} characters are no region table")
    if not text.endswith("\n"):  # QSIParc writes in place: a killed job leaves a table that stops anywhere
        raise AdapterError("the table is empty or cut short: its last line has no end")
    header, *rows = _cells(text)
    table = RegionTable(tuple(header), tuple(rows))
    for row in rows:
        if len(row) != len(header):
            raise AdapterError(f"a row has {len(row)} cells, the header {len(header)}")
    table.column(LABEL_COLUMN)
    indices = table.column(INDEX_COLUMN)
    if len(set(indices)) != len(indices):
        raise AdapterError("two rows have the same region index")
    return table


def _cells(text: str) -> list[list[str]]:
    if '"' not in text and "\r" not in text:  # QSIParc's always: several times as fast
        return [line.split("\t") for line in text[:-1].split("\n")]
    try:
        return list(csv.reader(text.splitlines(keepends=True), delimiter="\t", strict=True))
    except csv.Error as error:
        raise AdapterError(f"no table: {error}") from error
