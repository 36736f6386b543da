"""Read the region tables of a cohort, session by session: of runs that are completed over the present inputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from neuroflow.adapters.map_units import map_unit
from neuroflow.adapters.region_tables import (
    INDEX_COLUMN,
    LABEL_COLUMN,
    RegionTable,
    ScalarMap,
    TableFile,
    find_tables,
    read_table,
)
from neuroflow.domain import SessionStatus
from neuroflow.errors import AdapterError
from neuroflow.export.region_choice import RegionChoice, statistics_of
from neuroflow.export.region_report import Layout, RegionReport
from neuroflow.orchestrator.standing import Kind, SessionResult

PIPELINE = "qsiparc"


@dataclass(frozen=True)
class MapTable:
    """One table of what is wanted, and the number of its layout."""

    file: TableFile
    table: RegionTable
    layout: int


@dataclass(frozen=True)
class SessionRegions:
    """The tables of one acquisition of a session; most sessions have one."""

    subject: str
    session: str
    acquisition: str
    run_id: int
    maps: tuple[MapTable, ...]


@dataclass
class RegionReader:
    """Reads what is wanted, and notes what is not there."""

    choice: RegionChoice
    qsirecon: Path  # the dataset with the maps, which know their units
    report: RegionReport = field(default_factory=RegionReport)
    units: dict[ScalarMap, str] = field(default_factory=dict)

    def read(self, results: Iterable[SessionResult]) -> Iterator[SessionRegions]:
        """Return the tables of each session that has some; results of other pipelines are passed over.

        Raises:
            UsageError: after the last one, when something was asked for that no session has.
        """
        for result in results:
            if result.pipeline == PIPELINE:
                yield from self._read_session(result)
        self.choice.check(self.report.maps, self.report.statistics)

    def _read_session(self, result: SessionResult) -> Iterator[SessionRegions]:
        session, run = result.session, result.run
        if session.status is SessionStatus.EXCLUDED:
            self.report.excluded += 1
        elif result.kind is not Kind.CURRENT or run is None or run.output_path is None:
            self.report.missing[session.scope] = result.reason
        else:
            maps = self._tables(Path(run.output_path), session.subject, session.label)
            if not maps:
                self.report.missing[session.scope] = (
                    f"run {run.id} left no such table that can be read in {run.output_path}"
                )
                return
            self.report.sessions += 1
            for acquisition in sorted({one.file.acquisition for one in maps}):
                chosen = tuple(one for one in maps if one.file.acquisition == acquisition)
                self.report.add_rows(session.scope, sorted(one.layout for one in chosen))
                yield SessionRegions(session.subject, session.label, acquisition, run.id, chosen)

    def _tables(self, output: Path, subject: str, session: str) -> list[MapTable]:
        found = find_tables(output, subject=subject, session=session)
        self.report.problems += found.problems
        self.report.maps.update(file.scalar_map for file in found.files)
        maps: dict[tuple[ScalarMap, str], MapTable] = {}
        for file in found.files:
            if not self.choice.takes(file.scalar_map):
                continue
            if (file.scalar_map, file.acquisition) in maps:  # two spaces: they can't both be the map's
                self.report.problems.append(f"{file.path} is a second table of a map that has one")
                continue
            try:
                maps[file.scalar_map, file.acquisition] = self._read_map(file)
            except AdapterError as error:
                self.report.problems.append(str(error))
        return list(maps.values())

    def _read_map(self, file: TableFile) -> MapTable:
        table = read_table(file.path)
        self.report.statistics.update(statistics_of(table.columns))
        regions = tuple(zip(table.column(INDEX_COLUMN), table.column(LABEL_COLUMN), strict=True))
        if file.scalar_map not in self.units:
            self.units[file.scalar_map] = map_unit(file, self.qsirecon)
        return MapTable(file, table, self.report.number_of(Layout(file.scalar_map, regions)))
