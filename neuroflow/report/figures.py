"""Key figures and the tools' own reports of a cohort, read for a limited time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from neuroflow.adapters.key_figures import KeyFigures
from neuroflow.domain import RunStatus
from neuroflow.domain.history import RunFact, SessionFact
from neuroflow.report.cohort import Cohort
from neuroflow.report.region_values import RegionValues
from neuroflow.report.states import CellState

WITH_FIGURES = ("qsiprep", "qsiparc")  # whose files `key_figures` reads
_MOST_PROBLEMS = 5


class Cache(Protocol):
    """What was read before, as long as its files are the same."""

    def get(self, key: str, output: Path, *, with_regions: bool) -> KeyFigures | None:
        """Return what was kept under a key, None where there is too little or a file has changed."""
        ...

    def put(self, key: str, output: Path, found: KeyFigures, *, with_regions: bool) -> None:
        """Keep figures, with what their files are like now."""
        ...


class Look(Protocol):
    """Read the figures of one session's result."""

    def __call__(self, pipeline: str, output: Path, *, subject: str, session: str | None) -> KeyFigures:
        """Return the figures, and which files could not be read."""
        ...


class Find(Protocol):
    """Find the reports of one session, or of a subject where no session is named."""

    def __call__(self, pipeline: str, output: Path, *, subject: str, session: str | None) -> tuple[Path, ...]:
        """Return those that are there."""
        ...


@dataclass(frozen=True)
class Readers:
    """How files are read, when reading ends, and what an output folder is called on this machine."""

    look: Look
    find: Find
    cache: Cache
    here: Callable[[str], str]
    time_left: Callable[[], bool]


@dataclass(frozen=True)
class FigureKind:
    """One key figure, whatever its session."""

    pipeline: str
    name: str
    unit: str
    label: str = field(compare=False)  # may tell how many regions there were, which differs


@dataclass
class Figures:
    """What was read, and how much was not."""

    values: dict[FigureKind, dict[int, float]] = field(default_factory=dict)  # by the session's place in the cohort
    regions: RegionValues = field(default_factory=RegionValues)
    reports: dict[int, tuple[Path, ...]] = field(default_factory=dict)  # by run
    read: int = 0  # results whose files were read
    kept: int = 0  # results that were kept from an earlier report
    left: int = 0  # results for which no time was left
    problems: list[str] = field(default_factory=list)  # the first few
    unreadable: int = 0


@dataclass(frozen=True)
class _Result:
    """A run that was completed, as far as it concerns one session."""

    index: int
    session: SessionFact
    run: RunFact
    output: Path
    is_current: bool

    @property
    def key(self) -> str:
        return f"{self.run.pipeline}/{self.run.id}/{self.session.label}"


def read_figures(cohort: Cohort, readers: Readers) -> Figures:
    """Find the reports first, which is quick, and then read what the time allows."""
    found = Figures()
    results = list(_results(cohort, readers.here))
    for result in results:
        _find_reports(found, result, readers)
    for result in results:
        if result.is_current and result.run.pipeline in WITH_FIGURES:
            answer = _look(found, result, readers)
            for means in answer.regions:
                found.regions.add(result.index, means)
            for figure in answer.figures:
                kind = FigureKind(result.run.pipeline, figure.name, figure.unit, figure.label)
                found.values.setdefault(kind, {})[result.index] = figure.value
    return found


def _results(cohort: Cohort, here: Callable[[str], str]) -> Iterator[_Result]:
    folders: dict[str, Path] = {}  # a handful, for hundreds of thousands of runs
    for index, session in enumerate(cohort.sessions):
        for column in cohort.columns:
            run = column.runs[index]
            if run is not None and run.status is RunStatus.COMPLETED and run.output_path:
                folder = folders.get(run.output_path)
                if folder is None:
                    folder = folders[run.output_path] = Path(here(run.output_path))
                is_current = column.states[index] is CellState.COMPLETED
                yield _Result(index, session, run, folder, is_current)


def _find_reports(found: Figures, result: _Result, readers: Readers) -> None:
    run = result.run
    if run.id not in found.reports and readers.time_left():
        session = result.session.label if run.session_id is not None else None
        found.reports[run.id] = readers.find(
            run.pipeline, result.output, subject=result.session.subject, session=session
        )


def _look(found: Figures, result: _Result, readers: Readers) -> KeyFigures:
    if not readers.time_left():
        found.left += 1
        return KeyFigures()
    with_regions = not found.regions.left_out
    kept = readers.cache.get(result.key, result.output, with_regions=with_regions)
    if kept is not None:
        found.kept += 1
        return kept
    session = result.session
    answer = readers.look(result.run.pipeline, result.output, subject=session.subject, session=session.label)
    found.read += 1
    if answer.problems:
        found.unreadable += 1
        found.problems += answer.problems[: max(_MOST_PROBLEMS - len(found.problems), 0)]
    else:
        readers.cache.put(result.key, result.output, answer, with_regions=with_regions)
    return answer
