"""A report without what tells who a subject is, or where and by whom the work was done.

What is not known to be harmless is left out: texts of people, of logs and of tools; paths, hosts, users and job
numbers. What is left of a run is its pipeline, state, failure class and signature, how long it took and what it used.
When it ran is left out by `payload`, which needs the times for how long it took.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from neuroflow.domain.history import AttemptFact, History, RunFact, SessionFact
from neuroflow.report.cohort import Cohort, Column
from neuroflow.report.failures import Group
from neuroflow.report.figures import Figures
from neuroflow.report.gather import Report
from neuroflow.report.provenance import Provenance, ToolUse
from neuroflow.report.region_values import Atlas, RegionValues

_Value = TypeVar("_Value")
HELD = "for a reason that is left out here"
_VERSION = re.compile(r"v?\d[\w.+-]{0,30}", re.ASCII)
_DIGEST = re.compile(r"(sha256:)?[0-9a-f-]+", re.ASCII)


def anonymous(report: Report, numbers: Mapping[str, int]) -> Report:
    """Return the report that can be passed on: subjects in the order of their numbers, sessions and runs numbered anew.

    Args:
        numbers: each subject's, by its label.
    """
    before = report.cohort.sessions
    order = sorted(range(len(before)), key=lambda place: numbers[before[place].subject])  # sessions keep their order
    sessions = _sessions([before[place] for place in order], numbers)
    session_of = {before[place].id: session for place, session in zip(order, sessions, strict=True)}
    runs = _runs(report.history.runs, {session.subject_id: numbers[session.subject] for session in before}, session_of)
    return replace(
        report,
        wish=replace(report.wish, made_by="", subjects=tuple(str(numbers[label]) for label in report.wish.subjects)),
        cohort=Cohort(sessions, tuple(_column(column, order, runs) for column in report.cohort.columns)),
        history=History(sessions, tuple(runs.values()), _attempts(report.history.attempts, runs)),
        groups=tuple(_group(group, runs) for group in report.groups),
        lines={},
        holds=dict.fromkeys(report.holds, HELD),
        figures=_figures(report.figures, {before: now for now, before in enumerate(order)}),
        provenance=_provenance(report.provenance),
    )


def _sessions(ordered: Sequence[SessionFact], numbers: Mapping[str, int]) -> tuple[SessionFact, ...]:
    found: list[SessionFact] = []
    label = 0
    for place, session in enumerate(ordered, start=1):
        number = numbers[session.subject]
        label = label + 1 if found and found[-1].subject_id == number else 1
        found.append(SessionFact(place, number, str(number), str(label), session.status, ""))
    return tuple(found)


def _runs(
    runs: Sequence[RunFact], number_of: Mapping[int, int], session_of: Mapping[int, SessionFact]
) -> dict[int, RunFact]:
    """Return each run by the number that it had, in the order of the one that it gets: that of the subjects."""
    known = [run for run in runs if run.subject_id in number_of]
    found = {}
    for number, run in enumerate(sorted(known, key=lambda run: (number_of[run.subject_id], run.id)), start=1):
        session = None if run.session_id is None else session_of.get(run.session_id)
        found[run.id] = replace(
            run,
            id=number,
            subject_id=number_of[run.subject_id],
            session_id=None if session is None else session.id,
            resolution="closed" if run.resolution else "",
            reason="",
            error="",
            output_path=None,
        )
    return found


def _attempts(attempts: Sequence[AttemptFact], runs: Mapping[int, RunFact]) -> tuple[AttemptFact, ...]:
    known = [attempt for attempt in attempts if attempt.run_id in runs]
    ordered = sorted(known, key=lambda attempt: (runs[attempt.run_id].id, attempt.number))
    return tuple(
        replace(
            attempt,
            id=number,
            run_id=runs[attempt.run_id].id,
            where="",
            folder="",
            job_id=None,
            host="",
            message="",
            image_version=_harmless(_VERSION, attempt.image_version),
        )
        for number, attempt in enumerate(ordered, start=1)
    )


def _column(column: Column, order: Sequence[int], runs: Mapping[int, RunFact]) -> Column:
    def run_at(place: int) -> RunFact | None:
        run = column.runs[place]
        return None if run is None else runs[run.id]

    return Column(
        column.pipeline,
        tuple(column.states[place] for place in order),
        tuple(run_at(place) for place in order),
        ("",) * len(order),
    )


def _group(group: Group, runs: Mapping[int, RunFact]) -> Group:
    def renamed(ids: set[int] | list[int]) -> list[int]:
        return [runs[run].id for run in ids if run in runs]

    return replace(
        group,
        runs=set(renamed(group.runs)),
        waiting=renamed(group.waiting),
        under_way=set(renamed(group.under_way)),
        example="",
        example_run=0,
        example_attempt=None,
    )


def _figures(figures: Figures, place_of: Mapping[int, int]) -> Figures:
    """Return the values by the sessions' new places, in their order; the rest is names of files."""

    def moved(by_session: Mapping[int, _Value]) -> dict[int, _Value]:
        return dict(sorted((place_of[place], value) for place, value in by_session.items()))

    regions = RegionValues(most=figures.regions.most, left_out=figures.regions.left_out)
    for name, atlas in figures.regions.atlases.items():
        regions.atlases[name] = Atlas(atlas.label, atlas.places, moved(atlas.sessions))
    return replace(
        figures,
        values={kind: moved(values) for kind, values in figures.values.items()},
        regions=regions,
        reports={},
        problems=[],
    )


def _provenance(provenance: Provenance) -> Provenance:
    tools = tuple(
        ToolUse(
            tool.pipeline,
            _harmless(_VERSION, tool.version),
            "",
            _harmless(_DIGEST, tool.digest),
            attempts=tool.attempts,
        )
        for tool in provenance.tools
    )
    return replace(provenance, host="", database="", config_files=(), settings="", tools=tools)


def _harmless(pattern: re.Pattern[str], text: str) -> str:
    return text if pattern.fullmatch(text) else ""
