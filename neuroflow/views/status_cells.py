"""The matrix of subjects or sessions and pipelines, cell by cell, those without a run included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from neuroflow.core.eligible import each_without_run, refuse_unknown_labels
from neuroflow.core.overview import Overview
from neuroflow.core.reading import open_reader
from neuroflow.domain import Level, SessionStatus
from neuroflow.orchestrator.registry import get_registry

if TYPE_CHECKING:
    from neuroflow.config import NeuroflowConfig
    from neuroflow.domain.overview import RunFilter, RunLine

NOT_STARTED = "not_started"


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

    Raises:
        NotFoundError: for a subject, session or pipeline that is not there.
    """
    registry = get_registry(config)
    pipelines = [registry.get(name) for name in wanted.pipelines] or [*registry]
    with open_reader(config) as reader:
        refuse_unknown_labels(reader, wanted)
        for pipeline in pipelines:
            own = replace(wanted, pipelines=(pipeline.name,))
            for run in Overview(reader, own).each_run():
                yield Cell(pipeline.name, run.subject, run.session, run.standing.value, run.reason, run)
            if wanted.standings or wanted.since is not None or not pipeline.enabled:
                continue
            of_sessions = pipeline.level is Level.SESSION
            for subject, session, status, reason in each_without_run(reader, own, of_sessions=of_sessions):
                word = NOT_STARTED if status in (None, SessionStatus.READY) else str(status)
                yield Cell(pipeline.name, subject, session, word, reason)
