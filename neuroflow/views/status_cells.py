"""The matrix of subjects or sessions and pipelines, cell by cell, those without a run included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

from neuroflow.core.eligible import (
    WithoutRun,
    refuse_unknown_labels,
    sessions_without_run,
    subjects_without_run,
)
from neuroflow.core.overview import Overview
from neuroflow.core.reading import open_reader
from neuroflow.domain import Level, SessionStatus
from neuroflow.domain.overview import CellWord, Standing
from neuroflow.orchestrator.registry import get_registry
from neuroflow.views.status_out_of_date import all_places

if TYPE_CHECKING:
    from neuroflow.config import NeuroflowConfig
    from neuroflow.domain.overview import RunFilter, RunLine
    from neuroflow.orchestrator.registry import Pipeline

PAGE = 5000


@dataclass(frozen=True)
class Cell:
    """How one pipeline stands for one subject or session."""

    pipeline: str
    subject: str
    session: str | None
    status: str  # a Standing or out_of_date; without a run: not_started, or why the session is not ready
    reason: str
    run: RunLine | None = None

    @property
    def scope(self) -> str:
        """The scope: `sub-X` or `sub-X/ses-Y`."""
        return f"sub-{self.subject}" + ("" if self.session is None else f"/ses-{self.session}")


def each_cell(config: NeuroflowConfig, wanted: RunFilter) -> Iterator[Cell]:
    """Yield the cells that are asked for, pipeline by pipeline; by status or time only those with a run.

    No transaction is open while a cell is yielded: whoever takes them slowly would keep others from writing.

    Raises:
        NotFoundError: for a subject, session or pipeline that is not there.
    """
    registry = get_registry(config)
    pipelines = [registry.get(name) for name in wanted.pipelines] or [*registry]
    with open_reader(config) as reader:
        refuse_unknown_labels(reader, wanted)
    out_of_date = all_places(config, registry, wanted)
    asked = {word.value for word in (*wanted.standings, *wanted.words)}
    for pipeline in pipelines:
        own = replace(wanted, pipelines=(pipeline.name,))
        for cell in chain(_with_run(config, own, out_of_date), _empty(config, pipeline, own)):
            if not asked or cell.status in asked:
                yield cell


def _with_run(config: NeuroflowConfig, wanted: RunFilter, out_of_date: set[tuple[str, str]]) -> Iterator[Cell]:
    if wanted.words and not wanted.standings and CellWord.OUT_OF_DATE not in wanted.words:
        return
    more = [Standing.DONE] if CellWord.OUT_OF_DATE in wanted.words else []
    for run in _runs(config, replace(wanted, standings=(*wanted.standings, *more))):
        is_old = run.standing is Standing.DONE and (run.pipeline, run.scope) in out_of_date
        word = CellWord.OUT_OF_DATE.value if is_old else run.standing.value
        reason = "its inputs have changed since" if is_old else run.reason
        yield Cell(run.pipeline, run.subject, run.session, word, reason, run)


def _empty(config: NeuroflowConfig, pipeline: Pipeline, wanted: RunFilter) -> Iterator[Cell]:
    is_asked = CellWord.NOT_STARTED in wanted.words or not (wanted.standings or wanted.words)
    if not is_asked or wanted.since is not None or not pipeline.enabled:
        return
    for one in _without_run(config, pipeline, wanted):
        is_ready = one.status in (None, SessionStatus.READY)
        word = CellWord.NOT_STARTED.value if is_ready else str(one.status)
        yield Cell(pipeline.name, one.subject, one.session, word, one.reason)


def _runs(config: NeuroflowConfig, wanted: RunFilter) -> Iterator[RunLine]:
    after = ""
    while True:
        with open_reader(config) as reader:
            page = Overview(reader, wanted).page(after=after, size=PAGE)
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1].scope


def _without_run(config: NeuroflowConfig, pipeline: Pipeline, wanted: RunFilter) -> Iterator[WithoutRun]:
    ask = sessions_without_run if pipeline.level is Level.SESSION else subjects_without_run
    after = 0
    while True:
        with open_reader(config) as reader:
            page = ask(reader, pipeline.name, wanted, after=after, size=PAGE)
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1].id
