"""The values per region that a page holds: each atlas' regions once, and as many values as a page can bear."""

from __future__ import annotations

from dataclasses import dataclass, field

from neuroflow.adapters.key_figures import Region, RegionMeans
from neuroflow.report.compact import shown

# About 3 MB of the page: 300 sessions of an atlas of 400 regions in four models. Above it there are none.
MOST_VALUES = 500_000
_DIGITS = 4


@dataclass
class Atlas:
    """One map over one atlas: a region stands in the same place for all sessions."""

    label: str
    places: dict[Region, int] = field(default_factory=dict)
    sessions: dict[int, RegionMeans] = field(default_factory=dict)  # by the session's place in the cohort

    @property
    def cells(self) -> int:
        """The values, and the gaps where a session lacks a region that another one has."""
        return len(self.places) * len(self.sessions)

    def add(self, session: int, means: RegionMeans) -> None:
        """Add a session; regions are the same where index and label are."""
        for region in means.regions:
            self.places.setdefault(region, len(self.places))
        self.sessions[session] = means

    def rows(self) -> list[list[float | None]]:
        """Return each session's values in the order of the regions."""
        rows = []
        for means in self.sessions.values():
            row: list[float | None] = [None] * len(self.places)
            for region, value in zip(means.regions, means.values, strict=True):
                row[self.places[region]] = None if value is None else float(f"{value:.{_DIGITS}g}")
            rows.append(row)
        return rows


@dataclass
class RegionValues:
    """The values of all atlases, until there are too many."""

    most: int = MOST_VALUES
    atlases: dict[str, Atlas] = field(default_factory=dict)  # by the map's name
    left_out: bool = False
    _cells: int = 0

    def add(self, session: int, means: RegionMeans) -> None:
        """Add a session's values; above the limit all are dropped."""
        if self.left_out:
            return
        atlas = self.atlases.setdefault(means.name, Atlas(means.label))
        self._cells -= atlas.cells
        atlas.add(session, means)
        self._cells += atlas.cells
        if self._cells > self.most:
            self.left_out = True
            self.atlases.clear()


def region_data(values: RegionValues) -> dict[str, object]:
    """Return the values as the page has them."""
    return {
        "leftOut": values.left_out,
        "most": values.most,
        "atlases": [
            {
                "label": shown(atlas.label),
                "indices": [shown(index) for index, _ in atlas.places],
                "names": [shown(name) for _, name in atlas.places],
                "sessions": list(atlas.sessions),
                "values": atlas.rows(),
            }
            for atlas in values.atlases.values()
        ],
    }
