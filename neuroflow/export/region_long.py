"""The long table of regions: a line for each session, map, region and statistic."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from neuroflow.adapters.region_tables import INDEX_COLUMN, LABEL_COLUMN, ScalarMap
from neuroflow.export.columns import MISSING, cell, entry, line, text
from neuroflow.export.region_choice import HEMISPHERE_COLUMN, statistic_unit, statistic_words
from neuroflow.export.region_reading import MapTable, SessionRegions

VOXELS_COLUMN = "voxel_count"
COVERAGE_COLUMN = "coverage"
_NUMBER = re.compile(r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?")
_COLUMNS = (
    "participant_id",
    "session_id",
    "acquisition",
    "run_id",
    "atlas",
    "software",
    "model",
    "parameter",
    "variant",
    "region_index",
    "region_label",
    "hemisphere",
    "n_voxels",
    "coverage",
    "statistic",
    "value",
)


def number(value: str) -> str:
    """Return a number exactly as QSIParc wrote it; what is no number as any other text, nothing as n/a."""
    if _NUMBER.fullmatch(value):
        return value
    return MISSING if value.casefold() in ("", "nan") else text(value)


def long_lines(cohort: Iterable[SessionRegions], statistics: tuple[str, ...]) -> Iterator[str]:
    """Return the lines of the table, the header first."""
    yield line(_COLUMNS)
    for part in cohort:
        session = (f"sub-{part.subject}", f"ses-{part.session}", cell(part.acquisition), str(part.run_id))
        for one in part.maps:
            yield from _map_lines("\t".join((*session, *_map_cells(one.file.scalar_map))), one, statistics)


# The same few names come with every session.
_word = lru_cache(maxsize=10_000)(text)


def _map_cells(scalar_map: ScalarMap) -> tuple[str, ...]:
    parts = (scalar_map.atlas, scalar_map.software, scalar_map.model, scalar_map.parameter, scalar_map.variant)
    return tuple(text(part) for part in parts)


def _map_lines(start: str, one: MapTable, statistics: tuple[str, ...]) -> Iterator[str]:
    places = {name: place for place, name in enumerate(one.table.columns)}
    described = [
        (places.get(name), write)
        for name, write in (
            (INDEX_COLUMN, number),
            (LABEL_COLUMN, _word),
            (HEMISPHERE_COLUMN, _word),
            (VOXELS_COLUMN, number),
            (COVERAGE_COLUMN, number),
        )
    ]
    values = [(statistic, places[statistic]) for statistic in statistics if statistic in places]
    for row in one.table.rows:
        region = "\t".join(MISSING if place is None else write(row[place]) for place, write in described)
        for statistic, place in values:
            yield f"{start}\t{region}\t{statistic}\t{number(row[place])}\n"


def long_entries(units: Mapping[ScalarMap, str], statistics: tuple[str, ...]) -> dict[str, object]:
    """Return the data dictionary."""
    known = {
        f"{statistic} of {scalar_map.name}": unit
        for scalar_map, map_unit in sorted(units.items())
        for statistic in statistics
        if (unit := statistic_unit(statistic, map_unit))
    }
    value = entry(
        "The statistic over the region, digit by digit as QSIParc wrote it", "those of the map; see UnitsByMap"
    )
    descriptions = {
        "participant_id": "The subject, as in the BIDS dataset",
        "session_id": "The session, as in the BIDS dataset",
        "acquisition": "The BIDS entities that tell apart the acquisitions of a session",
        "run_id": "The run of qsiparc that made the table, as in `neuroflow runs show`",
        "atlas": "The atlas",
        "software": "QSIRecon's name of the reconstruction that made the map",
        "model": "The model that was fitted",
        "parameter": "What the map shows, such as fa",
        "variant": "What else tells the map from others, as BIDS entities",
        "region_index": "The region's number in the atlas",
        "region_label": "The region's name in the atlas",
        "hemisphere": "The region's hemisphere, as QSIParc writes it",
        "n_voxels": "The region's voxels",
        "coverage": "Share of the region's voxels that have a value",
    }
    words = {statistic: f"{statistic_words(statistic)} over the region" for statistic in statistics}
    return {
        **{name: entry(description) for name, description in descriptions.items()},
        "statistic": entry("The statistic over the region's voxels", levels=words),
        "value": value | {"UnitsByMap": known},
    }
