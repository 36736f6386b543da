"""The wide table of regions: a line for each session, a column for each map, region and statistic.

Which columns there are is known only when the last session was read. Until then the values lie in a temporary file, as
text: memory grows with the number of columns, not with that of sessions.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TextIO

from neuroflow.adapters.region_tables import ScalarMap
from neuroflow.export.columns import MISSING, cell, entry, line
from neuroflow.export.region_choice import statistic_unit, statistic_words
from neuroflow.export.region_long import number
from neuroflow.export.region_reading import MapTable, SessionRegions
from neuroflow.export.region_report import Layout, Region

_ODD = re.compile(r"[^0-9A-Za-z]+")
_FIRST = ("participant_id", "session_id", "acquisition", "run_id", "n_missing")


@dataclass(frozen=True, order=True)
class _ValueColumn:
    scalar_map: ScalarMap
    region: Region
    statistic: str

    @property
    def name(self) -> str:
        """What R and pandas take for a name as it is: letters, digits and _, a letter first."""
        index, label = self.region
        text = "_".join((self.statistic, self.scalar_map.name, index, label if label != index else ""))
        return _ODD.sub("_", text).strip("_")


@dataclass
class WideTable:
    """The values of all sessions, kept until the columns are known."""

    layouts: Mapping[Layout, int]  # grows while the cohort is read
    statistics: tuple[str, ...]
    columns: list[_ValueColumn] = field(default_factory=list)

    def lines(self, cohort: Iterable[SessionRegions]) -> Iterator[str]:
        """Return the lines of the table, the header first, once the whole cohort was read."""
        with tempfile.TemporaryFile("w+", encoding="utf-8") as spool:
            for part in cohort:
                spool.write(_pack(part, self.statistics))
            self.columns = _columns(self.layouts, self.statistics)
            yield line((*_FIRST, *column_names(self.columns)))
            spool.seek(0)
            yield from self._rows(spool)

    def _rows(self, spool: TextIO) -> Iterator[str]:
        layouts = list(self.layouts)
        place_of = {column: place for place, column in enumerate(self.columns)}
        places: dict[int, list[int]] = {}
        for packed in spool:
            first, maps = json.loads(packed)
            row = [MISSING] * len(self.columns)
            for layout, values in maps:
                if layout not in places:
                    places[layout] = [place_of[column] for column in _columns_of(layouts[layout], self.statistics)]
                for place, value in zip(places[layout], values, strict=True):
                    row[place] = value
            yield line((*first, str(row.count(MISSING)), *row))

    def entries(self, units: Mapping[ScalarMap, str]) -> dict[str, object]:
        """Return the data dictionary, once the lines were written."""
        found: dict[str, object] = {
            "participant_id": entry("The subject, as in the BIDS dataset"),
            "session_id": entry("The session, as in the BIDS dataset"),
            "acquisition": entry("The BIDS entities that tell apart the acquisitions of a session"),
            "run_id": entry("The run of qsiparc that made the tables, as in `neuroflow runs show`"),
            "n_missing": entry("How many of the columns that follow have no value"),
        }
        for name, column in zip(column_names(self.columns), self.columns, strict=True):
            found[name] = _entry(column, units.get(column.scalar_map, ""))
        return found


def _entry(column: _ValueColumn, map_unit: str) -> dict[str, object]:
    scalar_map, (index, label) = column.scalar_map, column.region
    made = ", ".join(part for part in (scalar_map.software, scalar_map.model, scalar_map.variant) if part)
    words = (
        f"{statistic_words(column.statistic)} of {scalar_map.parameter}{f' ({made})' if made else ''} "
        f"in region {index}, {label}, of the atlas {scalar_map.atlas}"
    )
    return entry(words, statistic_unit(column.statistic, map_unit))


def column_names(columns: Sequence[_ValueColumn]) -> list[str]:
    """Return the columns' names; of two that would be alike, the later one ends in _2."""
    found: dict[str, int] = {}
    names = []
    for column in columns:
        count = found[column.name] = found.get(column.name, 0) + 1
        names.append(column.name if count == 1 else f"{column.name}_{count}")
    return names


def _pack(part: SessionRegions, statistics: tuple[str, ...]) -> str:
    first = (f"sub-{part.subject}", f"ses-{part.session}", cell(part.acquisition), str(part.run_id))
    maps = [(one.layout, _values(one, statistics)) for one in part.maps]
    return json.dumps((first, maps)) + "\n"


def _values(one: MapTable, statistics: tuple[str, ...]) -> list[str]:
    """Return the values in the order of `_columns_of`."""
    columns = one.table.columns
    places = [columns.index(name) if name in columns else None for name in statistics]
    return [MISSING if place is None else number(row[place]) for place in places for row in one.table.rows]


def _columns_of(layout: Layout, statistics: tuple[str, ...]) -> list[_ValueColumn]:
    return [_ValueColumn(layout.scalar_map, region, name) for name in statistics for region in layout.regions]


def _columns(layouts: Iterable[Layout], statistics: tuple[str, ...]) -> list[_ValueColumn]:
    """Return all columns: by atlas and map, then statistics as asked for, then regions by number."""
    every = {column for layout in layouts for column in _columns_of(layout, statistics)}
    return sorted(every, key=lambda column: (column.scalar_map, statistics.index(column.statistic), *_order(column)))


def _order(column: _ValueColumn) -> tuple[int, str, str]:
    index, label = column.region
    return (int(index) if index.isascii() and index.isdigit() else -1, index, label)
