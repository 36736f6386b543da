"""The few numbers of a session that tell how good it is and what came out, read from the tools' own files.

QSIPrep's `*_desc-image_qc.tsv` (`*_desc-ImageQC_dwi.csv` before 1.0) and `*_desc-confounds_timeseries.tsv`
(`*_confounds.tsv`): https://qsiprep.readthedocs.io/en/latest/preprocessing.html#quality-control-data. QSIParc's region
tables: `region_tables`. A file that is missing or broken gives no figures, and a line among the problems.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from neuroflow.adapters.region_tables import INDEX_COLUMN, LABEL_COLUMN, TableFile, find_tables, read_table
from neuroflow.domain import is_label
from neuroflow.errors import AdapterError

_MILLIMETRES = "mm"
_FRAMEWISE = "framewise_displacement"  # of pairs that were averaged: framewise_displacement_1 and _2
_LARGEST_QC_CHARACTERS = 20_000_000


@dataclass(frozen=True)
class KeyFigure:
    """One number of one session."""

    name: str
    value: float
    unit: str  # empty: none, or the tool does not say which
    label: str
    source: str  # the file, relative to the pipeline's dataset


Region = tuple[str, str]  # its index and its label


@dataclass(frozen=True)
class RegionMeans:
    """The mean of one map in each region of an atlas, of one session."""

    name: str  # as of the key figure over all regions
    label: str
    regions: tuple[Region, ...]
    values: tuple[float | None, ...]  # None: n/a


@dataclass(frozen=True)
class KeyFigures:
    """The figures of a session, and in words which files could not be read."""

    figures: tuple[KeyFigure, ...] = ()
    problems: tuple[str, ...] = ()
    regions: tuple[RegionMeans, ...] = ()  # FA of each atlas and model, or the first parameter that it has


@dataclass
class _Reading:
    output: Path
    figures: list[KeyFigure] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    regions: list[RegionMeans] = field(default_factory=list)

    def add(self, path: Path, *, name: str, value: float, unit: str, label: str) -> None:
        self.figures.append(KeyFigure(name, value, unit, label, path.relative_to(self.output).as_posix()))


@dataclass(frozen=True)
class _Measure:
    unit: str
    label: str


# Columns of QSIPrep's table, in the order in which a person wants them.
_IMAGE_QC = {
    "mean_fd": _Measure(_MILLIMETRES, "Mean framewise displacement"),
    "max_fd": _Measure(_MILLIMETRES, "Largest framewise displacement"),
    "max_rel_translation": _Measure(_MILLIMETRES, "Largest translation between volumes"),
    "raw_neighbor_corr": _Measure("", "Neighbouring-DWI correlation, raw"),
    "t1_neighbor_corr": _Measure("", "Neighbouring-DWI correlation, preprocessed"),
    "raw_num_bad_slices": _Measure("slices", "Bad slices, raw"),
    "t1_dice_distance": _Measure("", "Distance of the DWI mask from the anatomical mask (Dice)"),
    "raw_num_directions": _Measure("directions", "Gradient directions"),
    "raw_max_b": _Measure("s/mm^2", "Largest b-value"),
}
_MOTION = ("mean_fd", "max_fd")
# Of QSIParc's many maps, those that a person looks at first; units of diffusivities differ between programs.
_PARAMETERS = {
    "fa": "FA",
    "md": "MD",
    "ad": "AD",
    "rd": "RD",
    "mk": "MK",
    "icvf": "ICVF",
    "isovf": "ISOVF",
    "od": "OD",
}
_ORDER = tuple(_PARAMETERS)


def read_key_figures(pipeline: str, output: Path, *, subject: str, session: str | None) -> tuple[KeyFigure, ...]:
    """Return a session's figures, of a subject's every session where none is named; leave out what can't be read.

    Args:
        output: the pipeline's dataset, as in RunRecord.output_path.
    """
    return look_up_key_figures(pipeline, output, subject=subject, session=session).figures


def look_up_key_figures(pipeline: str, output: Path, *, subject: str, session: str | None) -> KeyFigures:
    """Return a session's figures, and which files could not be read."""
    reader = _READERS.get(pipeline)
    if reader is None or not is_label(subject) or not (session is None or is_label(session)):
        return KeyFigures()
    reading = _Reading(output)
    for name in (session,) if session is not None else _sessions(output / f"sub-{subject}"):
        reader(reading, subject, name)
    return KeyFigures(tuple(reading.figures), tuple(reading.problems), tuple(reading.regions))


def tool_reports(pipeline: str, output: Path, *, subject: str, session: str | None) -> tuple[Path, ...]:
    """Return the HTML reports that the tool itself wrote of a session, of all of a subject's where none is named."""
    if not is_label(subject) or not (session is None or is_label(session)):
        return ()
    name = f"sub-{subject}"
    if session is not None:
        # QSIPrep writes one report of all of a subject's sessions, unless it works session by session.
        patterns = [f"{name}.html", f"{name}_ses-{session}.html", f"{name}_ses-{session}_*.html"]
        inside = f"{name}/ses-{session}/{name}*.html"
    else:
        patterns = [f"{name}.html", f"{name}_*.html"]
        inside = f"{name}/ses-*/{name}*.html"
    patterns.append(inside)
    if pipeline == "qsirecon":
        patterns += [f"derivatives/qsirecon-*/{pattern}" for pattern in patterns]
    elif pipeline != "qsiprep":
        return ()
    return tuple(sorted({path for pattern in patterns for path in _glob(output, pattern) if path.is_file()}))


def _read_qsiprep(reading: _Reading, subject: str, session: str) -> None:
    folder = f"sub-{subject}/ses-{session}/dwi" if session else f"sub-{subject}/dwi"
    paths = [
        path for end in ("_desc-image_qc.tsv", "_desc-ImageQC_dwi.csv") for path in _glob(reading.output / folder, end)
    ]
    for path in paths:
        rows = _rows(reading, path)
        if rows:
            _add_image_qc(reading, path, row=rows[0], about=_acquisition(path) if len(paths) > 1 else "")
    if not any(figure.name in _MOTION and figure.source.startswith(folder) for figure in reading.figures):
        _add_motion(reading, reading.output / folder)


def _acquisition(path: Path) -> str:
    """Return what tells a table from the session's others; its labels stand elsewhere."""
    entities = path.name.rpartition("_desc-")[0].split("_")
    words = "_".join(entity for entity in entities if not entity.startswith(("sub-", "ses-")))
    return f" ({words})" if words else ""


def _add_image_qc(reading: _Reading, path: Path, *, row: dict[str, str], about: str) -> None:
    for name, measure in _IMAGE_QC.items():
        value = _number(row.get(name))
        if value is not None:
            reading.add(path, name=name, value=value, unit=measure.unit, label=measure.label + about)


def _add_motion(reading: _Reading, folder: Path) -> None:
    """Take the motion from the confounds, as QSIPrep itself sums it up, where its table has none."""
    for end in ("_desc-confounds_timeseries.tsv", "_confounds.tsv"):
        for path in _glob(folder, end):
            rows = _rows(reading, path)
            columns = [name for name in (rows[0] if rows else ()) if name.startswith(_FRAMEWISE)]
            series = [[value for row in rows if (value := _number(row[name])) is not None] for name in columns]
            series = [values for values in series if values]
            if not series:
                continue
            means = [sum(values) / len(values) for values in series]
            figures = {"mean_fd": sum(means) / len(means), "max_fd": max(max(values) for values in series)}
            for name, value in figures.items():
                measure = _IMAGE_QC[name]
                reading.add(path, name=name, value=value, unit=measure.unit, label=measure.label)


def _read_qsiparc(reading: _Reading, subject: str, session: str) -> None:
    if not session:  # QSIParc takes none without sessions
        return
    found = find_tables(reading.output, subject=subject, session=session)
    reading.problems += found.problems
    files = [file for file in found.files if file.scalar_map.parameter.lower() in _PARAMETERS]
    tables_of = Counter(file.scalar_map for file in files)
    models: set[tuple[str, ...]] = set()
    for file in sorted(files, key=lambda file: _ORDER.index(file.scalar_map.parameter.lower())):
        parts = file.scalar_map
        model = (parts.atlas, parts.software, parts.model, parts.variant, file.acquisition)
        is_first = model not in models
        models.add(model)
        # Acquisitions are named only where they differ: figures of the same name are compared between sessions.
        acquisition = file.acquisition if tables_of[file.scalar_map] > 1 else ""
        _add_mean(reading, file, acquisition=acquisition, with_regions=is_first)


def _add_mean(reading: _Reading, file: TableFile, *, acquisition: str, with_regions: bool) -> None:
    try:
        table = read_table(file.path)
        cells = table.column("mean")
    except AdapterError as error:
        reading.problems.append(str(error))
        return
    means = tuple(_number(cell) for cell in cells)
    values = [value for value in means if value is not None]
    if not values:
        return
    parts = file.scalar_map
    where = ", ".join(part for part in (parts.atlas, parts.software, parts.variant, acquisition) if part)
    measure = _PARAMETERS[parts.parameter.lower()]
    label = f"Mean {measure} over {len(values)} regions ({where})"
    name = "_".join(part for part in ("mean", parts.name, acquisition) if part)
    reading.add(file.path, name=name, value=sum(values) / len(values), unit="", label=label)
    if with_regions:
        where = ", ".join(
            part for part in (parts.atlas, parts.software, parts.model, parts.variant, acquisition) if part
        )
        regions = tuple(zip(table.column(INDEX_COLUMN), table.column(LABEL_COLUMN), strict=True))
        reading.regions.append(RegionMeans(name, f"{measure} per region: {where}", regions, means))


def _rows(reading: _Reading, path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            text = file.read(_LARGEST_QC_CHARACTERS)
        delimiter = "," if path.suffix == ".csv" else "\t"
        header, *rows = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        reading.problems.append(f"{path} can't be read: {error}")
        return []
    whole = [dict(zip(header, row, strict=True)) for row in rows if len(row) == len(header)]
    if not whole or len(whole) < len(rows):
        reading.problems.append(f"{path} is cut short, or no table")
        return []
    return whole


def _number(cell: str | None) -> float | None:
    try:
        value = float(cell or "")
    except ValueError:  # n/a
        return None
    return value if math.isfinite(value) else None


def _sessions(folder: Path) -> tuple[str, ...]:
    """Return the session labels of a subject's folder, and an empty one for data that have no sessions."""
    names = [path.name.removeprefix("ses-") for path in _glob(folder, "ses-*") if path.is_dir()]
    return tuple(name for name in sorted(names) if is_label(name)) or ("",)


def _glob(folder: Path, pattern: str) -> list[Path]:
    """Return what matches, by name; `_ending` stands for `*_ending`. A folder that can't be read holds nothing."""
    try:
        return sorted(folder.glob(f"*{pattern}" if pattern.startswith("_") else pattern))
    except OSError:
        return []


_READERS: dict[str, Callable[[_Reading, str, str], None]] = {"qsiprep": _read_qsiprep, "qsiparc": _read_qsiparc}
