"""The tables whose lines come from the database alone, read a page at a time: memory does not grow with the study."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from neuroflow.adapters.versions import tool_version
from neuroflow.core.pages import RowFilter
from neuroflow.domain import SessionRecord
from neuroflow.export.columns import Column, dictionary, header, row
from neuroflow.export.nipoppy import NIPOPPY, UNREADABLE_LABELS, PipelineState
from neuroflow.export.run_tables import ATTEMPTS, RUNS
from neuroflow.export.session_table import SessionLine, session_columns
from neuroflow.orchestrator.registry import Pipeline
from neuroflow.orchestrator.scheduler import session_results
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.standing import SessionResult

# Nipoppy tracks conversion to BIDS in another file.
_NOT_PROCESSING = "bids_conversion"


@dataclass(frozen=True)
class Table:
    """A table: its lines as text, the header first, and the entries of its data dictionary."""

    name: str
    lines: Iterator[str]
    entries: Mapping[str, object]
    warnings: list[str] = field(default_factory=list)  # whole once the last line was taken


def runs_table(services: Services, wanted: RowFilter) -> Table:
    """Return the table of runs."""
    return _table("runs", RUNS, (run for page in services.state.run_pages(wanted) for run in page))


def attempts_table(services: Services, wanted: RowFilter) -> Table:
    """Return the table of attempts."""
    return _table("attempts", ATTEMPTS, (attempt for page in services.state.attempt_pages(wanted) for attempt in page))


def sessions_table(services: Services, wanted: RowFilter) -> Table:
    """Return the table of sessions; `pipelines` chooses columns."""
    names = [name for name in services.registry.names() if not wanted.pipelines or name in wanted.pipelines]
    columns = session_columns(names)
    return _table("sessions", columns, _session_lines(services, wanted))


def _session_lines(services: Services, wanted: RowFilter) -> Iterator[SessionLine]:
    for _, results in groupby(results_of(services, wanted), key=lambda result: result.session.id):
        by_pipeline = {result.pipeline: result for result in results}
        yield SessionLine(next(iter(by_pipeline.values())).session, by_pipeline)


def nipoppy_table(services: Services, wanted: RowFilter) -> Table:
    """Return the table in Nipoppy's layout: a line for each session and pipeline."""
    chosen = wanted.pipelines or tuple(name for name in services.registry.names() if name != _NOT_PROCESSING)
    warnings: list[str] = []
    states = _named(_pipeline_states(services, wanted, chosen), warnings)
    return replace(_table("nipoppy", NIPOPPY, states), warnings=warnings)


def _named(states: Iterator[PipelineState], warnings: list[str]) -> Iterator[PipelineState]:
    """Pass states on, and note the sessions that Nipoppy would take for missing values."""
    for state in states:
        session = state.result.session
        if {session.subject, session.label} & UNREADABLE_LABELS:
            warning = f"Nipoppy will refuse the file: it takes a part of {session.scope} for a missing value"
            if warning not in warnings:
                warnings.append(warning)
        yield state


def _pipeline_states(services: Services, wanted: RowFilter, chosen: Collection[str]) -> Iterator[PipelineState]:
    configured = {pipeline.name: _configured_version(services, pipeline) for pipeline in services.registry}
    for page in _result_pages(services, wanted):
        results = [result for result in page if result.pipeline in chosen]
        versions = services.state.tool_versions([result.run.id for result in results if result.run is not None])
        for result in results:
            used = versions.get(result.run.id) if result.run is not None else None
            yield PipelineState(result, used or configured[result.pipeline])


def _configured_version(services: Services, pipeline: Pipeline) -> str:
    settings = pipeline.settings
    return tool_version(pipeline.name, image=settings.image, version=settings.version) or ""


def results_of(services: Services, wanted: RowFilter) -> Iterator[SessionResult]:
    """Return how every pipeline stands for every session that is wanted, session by session."""
    for page in _result_pages(services, wanted):
        yield from page


def _result_pages(services: Services, wanted: RowFilter) -> Iterator[list[SessionResult]]:
    is_wanted = _session_filter(wanted)
    for snapshot in services.state.snapshot_pages(subjects=wanted.subjects):
        yield [result for result in session_results(snapshot, services.registry) if is_wanted(result.session)]


def _session_filter(wanted: RowFilter) -> Callable[[SessionRecord], bool]:
    def is_wanted(session: SessionRecord) -> bool:
        return (
            (not wanted.sessions or session.label in wanted.sessions)
            and (not wanted.statuses or session.status in wanted.statuses)
            and (wanted.since is None or session.updated_at >= wanted.since)
        )

    return is_wanted


def _table(name: str, columns: Sequence[Column[Any]], records: Iterator[Any]) -> Table:
    def lines() -> Iterator[str]:
        yield header(columns)
        for record in records:
            yield row(columns, record)

    return Table(name, lines(), dictionary(columns))
