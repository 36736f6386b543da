"""The matrix of subjects or sessions and pipelines, cell by cell, those without a run included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
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
from neuroflow.orchestrator.registry import get_registry

if TYPE_CHECKING:
    from neuroflow.config import NeuroflowConfig
    from neuroflow.domain.overview import RunFilter, RunLine
    from neuroflow.orchestrator.registry import Pipeline

NOT_STARTED = "not_started"
PAGE = 5000


@dataclass(frozen=True)
class Cell:
    """How one pipeline stands for one subject or session."""

    pipeline: str
    subject: str
    session: str | None
    status: str  # a Standing; without a run: not_started, or why the session is not ready
    reason: str
    run: RunLine | None = None


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
    for pipeline in pipelines:
        own = replace(wanted, pipelines=(pipeline.name,))
        for run in _runs(config, own):
            yield Cell(pipeline.name, run.subject, run.session, run.standing.value, run.reason, run)
        if wanted.standings or wanted.since is not None or not pipeline.enabled:
            continue
        for one in _without_run(config, pipeline, own):
            word = NOT_STARTED if one.status in (None, SessionStatus.READY) else str(one.status)
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
