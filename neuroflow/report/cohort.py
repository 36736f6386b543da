"""The cohort: sessions in their natural order, and for each pipeline the run that counts now."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from neuroflow.domain import Level, RunStatus, SessionStatus
from neuroflow.domain.history import History, RunFact, SessionFact
from neuroflow.orchestrator.registry import Pipeline
from neuroflow.orchestrator.standing import Kind
from neuroflow.report.judgement import NO_JUDGEMENT, Judgement, Verdict
from neuroflow.report.states import OF_SESSIONS, CellState, state_of

_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True)
class Column:
    """One pipeline's cells, in the order of the sessions."""

    pipeline: Pipeline
    states: tuple[CellState, ...]
    runs: tuple[RunFact | None, ...]  # a run of a subject stands with each of its sessions

    reasons: tuple[str, ...]  # of cells that are out of date or blocked; else empty

    def counts(self) -> Counter[CellState]:
        """Return how many runs, and sessions without one, are in each state; a run of a subject counts once."""
        of_runs: dict[int, CellState] = {}
        counts: Counter[CellState] = Counter()
        for state, run in zip(self.states, self.runs, strict=True):
            if run is None:
                counts[state] += 1
            elif of_runs.get(run.id, CellState.EXCLUDED) in OF_SESSIONS:  # what one session is says least of a run
                of_runs[run.id] = state
        counts.update(of_runs.values())
        return counts


@dataclass(frozen=True)
class Cohort:
    """The matrix of sessions and pipelines."""

    sessions: tuple[SessionFact, ...]
    columns: tuple[Column, ...]

    def total(self, column: Column) -> int:
        """Return how many runs there are and can still come; what is excluded or invalid is not to come."""
        by_subject = column.pipeline.level is Level.SUBJECT
        runs, with_run, without = set(), set(), set()
        for session, state, run in zip(self.sessions, column.states, column.runs, strict=True):
            unit = session.subject_id if by_subject else session.id
            if state in (CellState.EXCLUDED, CellState.INVALID):
                continue
            if run is not None:
                runs.add(run.id)
                with_run.add(unit)
            elif column.pipeline.enabled:
                without.add(unit)
        return len(runs) + len(without - with_run)

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
            if run is not None and run.status is RunStatus.FAILED and not run.resolution and state is not CellState.DUE
        )


@dataclass(frozen=True)
class _Cell:
    state: CellState
    run: RunFact | None
    reason: str


def cohort_of(history: History, pipelines: Sequence[Pipeline], *, judgement: Judgement = NO_JUDGEMENT) -> Cohort:
    """Arrange what happened; a pipeline that is switched off stands there only where it has runs.

    Args:
        judgement: what the scheduler says; a session that it does not have is judged by its runs alone.
    """
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
        judged = [_verdict(judgement, pipeline, session) for session in sessions]
        current = {verdict.run_id for verdict in judged if verdict is not None and verdict.kind is Kind.CURRENT}
        upstream = [states[name] for name in pipeline.depends_on if name in states]
        cells = [
            _cell(
                session,
                _run_for(newest, pipeline, session),
                verdict=verdict,
                current=current,
                upstream=tuple(each[index] for each in upstream),
            )
            for index, (session, verdict) in enumerate(zip(sessions, judged, strict=True))
        ]
        states[pipeline.name] = tuple(cell.state for cell in cells)
        runs, reasons = tuple(cell.run for cell in cells), tuple(cell.reason for cell in cells)
        columns.append(Column(pipeline, states[pipeline.name], runs, reasons))
    return Cohort(sessions, tuple(columns))


def _verdict(judgement: Judgement, pipeline: Pipeline, session: SessionFact) -> Verdict | None:
    if not pipeline.enabled and session.status is SessionStatus.READY:
        return None  # nothing comes of it any more: its runs say how they ended
    return judgement.get(session.id, {}).get(pipeline.name)


def _cell(
    session: SessionFact,
    run: RunFact | None,
    *,
    verdict: Verdict | None,
    current: Collection[int | None],
    upstream: tuple[CellState, ...],
) -> _Cell:
    if verdict is not None and verdict.kind is Kind.ABSENT and run is not None and run.id in current:
        run = None  # the subject's run is current without this session
    state = state_of(session, run, verdict=verdict, upstream=upstream)
    explained = verdict is not None and state in (CellState.OUT_OF_DATE, CellState.BLOCKED)
    return _Cell(state, run, verdict.reason if verdict is not None and explained else "")


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
