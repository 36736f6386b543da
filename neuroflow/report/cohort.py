"""The cohort: sessions in their natural order, and for each pipeline the run that counts now."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from neuroflow.domain import Level, SessionStatus
from neuroflow.domain.history import History, RunFact, SessionFact
from neuroflow.orchestrator.registry import Pipeline
from neuroflow.report.states import CellState, state_of_run, state_without_run

_DIGITS = re.compile(r"(\d+)")
_STARTABLE = (SessionStatus.READY, SessionStatus.SETTLING)


@dataclass(frozen=True)
class Column:
    """One pipeline's cells, in the order of the sessions."""

    pipeline: Pipeline
    states: tuple[CellState, ...]
    runs: tuple[RunFact | None, ...]  # a run of a subject stands with each of its sessions

    def counts(self) -> Counter[CellState]:
        """Return how many runs, and sessions without one, are in each state; a run of a subject counts once."""
        seen: set[int] = set()
        counts: Counter[CellState] = Counter()
        for state, run in zip(self.states, self.runs, strict=True):
            if run is None or run.id not in seen:
                counts[state] += 1
            if run is not None:
                seen.add(run.id)
        return counts


@dataclass(frozen=True)
class Cohort:
    """The matrix of sessions and pipelines."""

    sessions: tuple[SessionFact, ...]
    columns: tuple[Column, ...]

    def total(self, column: Column) -> int:
        """Return how many runs there are and can still come, as `neuroflow status` counts them.

        Sessions that are excluded or invalid count only where they have a run.
        """
        runs = {run.id for run in column.runs if run is not None}
        if not column.pipeline.enabled:
            return len(runs)
        by_subject = column.pipeline.level is Level.SUBJECT
        to_come = {
            session.subject_id if by_subject else session.id
            for session, run in zip(self.sessions, column.runs, strict=True)
            if run is None and session.status in _STARTABLE
        }
        return len(runs) + len(to_come)

    def current_runs(self) -> list[RunFact]:
        """Return the runs in the matrix, each once."""
        found = {run.id: run for column in self.columns for run in column.runs if run is not None}
        return list(found.values())

    def waiting(self) -> frozenset[int]:
        """Return the ids of the runs that failed and wait for a person."""
        return frozenset(
            run.id
            for column in self.columns
            for state, run in zip(column.states, column.runs, strict=True)
            if state is CellState.FAILED and run is not None
        )


def cohort_of(history: History, pipelines: Sequence[Pipeline]) -> Cohort:
    """Arrange what happened; a pipeline that is switched off stands there only where it has runs."""
    sessions = tuple(sorted(history.sessions, key=lambda one: (_natural(one.subject), _natural(one.label))))
    newest: dict[tuple[str, int, int | None], RunFact] = {}
    for run in history.runs:  # in the order of their ids
        if not run.was_withdrawn:
            newest[run.pipeline, run.subject_id, run.session_id] = run
    with_runs = {run.pipeline for run in newest.values()}
    states: dict[str, tuple[CellState, ...]] = {}
    columns = []
    for pipeline in pipelines:
        if not pipeline.enabled and pipeline.name not in with_runs:
            continue
        runs = tuple(_run_for(newest, pipeline, session) for session in sessions)
        upstream = [states[name] for name in pipeline.depends_on if name in states]
        states[pipeline.name] = tuple(
            state_of_run(run)
            if run is not None
            else state_without_run(session, tuple(each[index] for each in upstream))
            for index, (session, run) in enumerate(zip(sessions, runs, strict=True))
        )
        columns.append(Column(pipeline, states[pipeline.name], runs))
    return Cohort(sessions, tuple(columns))


def _run_for(
    newest: dict[tuple[str, int, int | None], RunFact], pipeline: Pipeline, session: SessionFact
) -> RunFact | None:
    of_session = newest.get((pipeline.name, session.subject_id, session.id))
    of_subject = newest.get((pipeline.name, session.subject_id, None))
    if of_session is None or of_subject is None:
        return of_session or of_subject
    # The level was changed by the configuration: the newer one counts.
    return max(of_session, of_subject, key=lambda run: run.id)


def _natural(label: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key by which `9` stands before `10`."""
    return tuple(
        (0, int(part), "") if part.isdecimal() else (1, 0, part.casefold()) for part in _DIGITS.split(label) if part
    )
