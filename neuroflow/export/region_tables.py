"""The tables of regions of a cohort, long and wide: what is asked for, and what came out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from neuroflow.core.pages import RowFilter
from neuroflow.errors import NotFoundError
from neuroflow.export.region_choice import RegionChoice
from neuroflow.export.region_long import long_entries, long_lines
from neuroflow.export.region_reading import RegionReader
from neuroflow.export.region_report import RegionReport
from neuroflow.export.region_wide import WideTable
from neuroflow.export.row_tables import results_of
from neuroflow.orchestrator.services import Services


@dataclass(frozen=True)
class RegionTables:
    """A table that is being made: dictionary and report are whole once the last line was taken."""

    lines: Iterator[str]
    entries: Callable[[], Mapping[str, object]]
    report: RegionReport


def region_tables(
    services: Services, wanted: RowFilter, choice: RegionChoice, *, layout: str, require_complete: bool = False
) -> RegionTables:
    """Return the table of the regions of all sessions that are wanted.

    The lines end with an error, so that nothing is put in place, when something was asked for that no session has, when
    no session has a table, or when `require_complete` finds one that lacks something.
    """
    reader = RegionReader(choice, services.config.paths.derivatives_root / "qsirecon")
    cohort = reader.read(results_of(services, wanted))
    if layout == "wide":
        wide = WideTable(reader.report.layouts, choice.statistics)
        lines = _checked(wide.lines(cohort), reader.report, require_complete)
        return RegionTables(lines, lambda: wide.entries(reader.units), reader.report)
    lines = _checked(long_lines(cohort, choice.statistics), reader.report, require_complete)
    return RegionTables(lines, lambda: long_entries(reader.units, choice.statistics), reader.report)


def _checked(lines: Iterator[str], report: RegionReport, require_complete: bool) -> Iterator[str]:
    yield from lines
    if not report.sessions:
        raise NotFoundError(
            "\n".join(("no session has region tables that can be exported", *report.lines())),
            hint="`neuroflow status` shows how far qsiparc is",
        )
    if require_complete and not report.is_complete:
        raise NotFoundError(
            "\n".join(("the table would not be complete, so it was not written", *report.lines())),
            hint="leave out --require-complete to have it with what there is",
        )
