"""Which atlases, measures, software and statistics of the region tables are wanted, and which there are."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from neuroflow.adapters.region_tables import INDEX_COLUMN, LABEL_COLUMN, ScalarMap
from neuroflow.errors import UsageError

HEMISPHERE_COLUMN = "hemisphere"
# What identifies a row; every other column of QSIParc's is a statistic.
_NO_STATISTICS = frozenset((INDEX_COLUMN, LABEL_COLUMN, HEMISPHERE_COLUMN, "scalar"))
# In the unit of the map; the others have one of their own, or none.
_IN_MAP_UNITS = ("mean", "std", "median", "sum", "percentile_")
_UNITS = {"volume_mm3": "mm^3", "voxel_count": "voxels"}
_DESCRIPTIONS = {
    "mean": "Mean",
    "median": "Median",
    "std": "Standard deviation",
    "voxel_count": "Number of voxels",
    "volume_mm3": "Volume",
    "coverage": "Share of the region's voxels that have a value",
}


@dataclass(frozen=True)
class RegionChoice:
    """What is wanted of the region tables; nothing named means all, but for statistics: those that are named."""

    atlases: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()  # parameters of the maps, such as FA; case does not matter
    software: tuple[str, ...] = ()
    statistics: tuple[str, ...] = ("mean",)

    def takes(self, scalar_map: ScalarMap) -> bool:
        """Tell whether a map over an atlas is wanted."""
        return (
            (not self.atlases or scalar_map.atlas in self.atlases)
            and (not self.software or scalar_map.software in self.software)
            and (not self.measures or scalar_map.parameter.casefold() in {one.casefold() for one in self.measures})
        )

    def check(self, maps: Collection[ScalarMap], statistics: Collection[str]) -> None:
        """Refuse what no session has.

        Args:
            maps: all that were seen, wanted or not; with none there is nothing to compare with.

        Raises:
            UsageError: with what there is, and the nearest.
        """
        if not maps:
            return
        _refuse_unknown("--atlas", self.atlases, {one.atlas for one in maps})
        _refuse_unknown("--measure", self.measures, {one.parameter for one in maps})
        _refuse_unknown("--software", self.software, {one.software for one in maps if one.software})
        if not any(self.takes(one) for one in maps):
            names = ", ".join(sorted(one.name for one in maps))
            raise UsageError(f"no map is of all that was asked for together; there are: {names}", hint="ask for less")
        if statistics:
            _refuse_unknown("--statistic", self.statistics, statistics)


def statistics_of(columns: Iterable[str]) -> list[str]:
    """Return which of a table's columns are statistics."""
    return [name for name in columns if name not in _NO_STATISTICS]


def statistic_unit(statistic: str, map_unit: str) -> str:
    """Return a statistic's unit, given that of its map; nothing where there is none."""
    if statistic in _UNITS:
        return _UNITS[statistic]
    # robust_mean, iqr_filtered_std, mad_median and the like are means, deviations and medians as well.
    is_in_map_units = statistic.startswith("percentile_") or statistic.rpartition("_")[2] in _IN_MAP_UNITS
    return map_unit if is_in_map_units else ""


def statistic_words(statistic: str) -> str:
    """Return what a statistic is, for the data dictionary."""
    return _DESCRIPTIONS.get(statistic, f"QSIParc's {statistic}")


def _refuse_unknown(option: str, named: Collection[str], known: Collection[str]) -> None:
    by_case = {name.casefold(): name for name in known}
    folds_case = option == "--measure"
    for name in named:
        if name in known or (folds_case and name.casefold() in by_case):
            continue
        near = difflib.get_close_matches(name.casefold(), by_case, n=1)
        guess = f" Did you mean '{by_case[near[0]]}'?" if near else ""
        there = ", ".join(sorted(known)) or "none"
        raise UsageError(f"{option}: no session has '{name}'.{guess} There are: {there}")
