"""What a table of regions is without, and why: sessions without tables, tables that can't be read, other regions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from neuroflow.adapters.region_tables import ScalarMap

# How many sessions are named in a line or a list for people; JSON has all of them.
NAMED = 10

Region = tuple[str, str]  # index and label


@dataclass(frozen=True)
class Layout:
    """A map with the regions that a table of it has, in their order."""

    scalar_map: ScalarMap
    regions: tuple[Region, ...]


@dataclass
class _Seen:
    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        self.count += 1
        if len(self.first) < NAMED:
            self.first.append(name)

    def __str__(self) -> str:
        more = f" and {self.count - len(self.first)} more" if self.count > len(self.first) else ""
        return ", ".join(self.first) + more


@dataclass
class RegionReport:
    """What was seen while the tables were read; it grows with what is wrong, not with the study."""

    sessions: int = 0  # with tables of what is wanted
    excluded: int = 0  # by a person: not expected
    missing: dict[str, str] = field(default_factory=dict)  # sub-X/ses-Y, and why it has none
    problems: list[str] = field(default_factory=list)  # files that could not be used
    maps: set[ScalarMap] = field(default_factory=set)  # all that were seen, wanted or not
    statistics: set[str] = field(default_factory=set)
    layouts: dict[Layout, int] = field(default_factory=dict)  # with their numbers
    _having: dict[tuple[int, ...], _Seen] = field(default_factory=dict)

    def number_of(self, layout: Layout) -> int:
        """Return a layout's number: few differ, however many sessions there are."""
        return self.layouts.setdefault(layout, len(self.layouts))

    def add_rows(self, name: str, layouts: Iterable[int]) -> None:
        """Note which layouts a session, or one acquisition of it, has."""
        self._having.setdefault(tuple(layouts), _Seen()).add(name)

    @property
    def is_complete(self) -> bool:
        """Whether every session that is not excluded has all maps and all regions, and every file was usable."""
        return not (self.missing or self.problems or list(self.differences()))

    def differences(self) -> Iterator[str]:
        """Say which sessions lack a map or regions that others have."""
        layouts = list(self.layouts)
        by_map: dict[ScalarMap, set[int]] = {}
        for number, layout in enumerate(layouts):
            by_map.setdefault(layout.scalar_map, set()).add(number)
        for scalar_map, numbers in sorted(by_map.items()):
            without = self._gather(key for key in self._having if not numbers.intersection(key))
            if without.count:
                yield f"{scalar_map.name}, without a table: {without}"
            if len(numbers) > 1:
                yield from self._other_regions(scalar_map, numbers, layouts)

    def _other_regions(self, scalar_map: ScalarMap, numbers: set[int], layouts: list[Layout]) -> Iterator[str]:
        every = set().union(*(layouts[number].regions for number in numbers))
        for number in sorted(numbers):
            lacking = every.difference(layouts[number].regions)
            if not lacking:
                continue
            having = self._gather(key for key in self._having if number in key)
            example = " ".join(sorted(lacking)[0])
            yield f"{scalar_map.name}, without {len(lacking)} of {len(every)} regions, such as {example}: {having}"

    def _gather(self, keys: Iterable[tuple[int, ...]]) -> _Seen:
        found = _Seen()
        for key in keys:
            seen = self._having[key]
            found.count += seen.count
            found.first += seen.first[: NAMED - len(found.first)]
        return found

    def lines(self) -> Iterator[str]:
        """Say it to a person, in a bounded number of lines."""
        excluded = f", excluded: {self.excluded}" if self.excluded else ""
        yield f"sessions with tables: {self.sessions}, without: {len(self.missing)}{excluded}"
        yield from _first((f"{name}: {reason}" for name, reason in self.missing.items()), len(self.missing))
        yield from _first(iter(self.problems), len(self.problems))
        differences = list(self.differences())
        yield from _first(iter(differences), len(differences))


def _first(lines: Iterator[str], count: int) -> Iterator[str]:
    for _, line in zip(range(NAMED), lines, strict=False):
        yield f"  {line}"
    if count > NAMED:
        yield f"  and {count - NAMED} more"
