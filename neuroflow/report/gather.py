"""Gather everything that a report shows, from the database and for a limited time from files."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from neuroflow.domain.history import History
from neuroflow.errors import NotFoundError
from neuroflow.report.cohort import Cohort, cohort_of
from neuroflow.report.failures import Group, example_lines, failure_groups
from neuroflow.report.figures import Figures
from neuroflow.report.flow import Flow, flow_of
from neuroflow.report.judgement import judgement_of
from neuroflow.report.provenance import Provenance, provenance_of
from neuroflow.report.usage import Usage, usage_of

if TYPE_CHECKING:
    from neuroflow.orchestrator.services import Services


@dataclass(frozen=True)
class Wish:
    """What a person asked for."""

    title: str
    made_by: str
    subjects: tuple[str, ...] = ()  # labels; none: all
    since: datetime | None = None
    anonymous: bool = False  # to be passed on: `anonymous` leaves out what tells who and where


@dataclass(frozen=True)
class Report:
    """Everything that the page shows."""

    wish: Wish
    made_at: datetime
    cohort: Cohort
    history: History
    flow: Flow
    usage: tuple[Usage, ...]
    groups: tuple[Group, ...]
    lines: dict[tuple[str, str, str], tuple[str, ...]]
    holds: dict[str, str]
    figures: Figures
    provenance: Provenance


def gather(services: Services, wish: Wish, *, read_figures: Callable[[Cohort], Figures]) -> Report:
    """Gather a report.

    Raises:
        NotFoundError: for a subject that is not there.
    """
    _check_subjects(services, wish.subjects)
    history = services.state.history(subjects=wish.subjects)
    pipelines = tuple(services.registry)
    cohort = cohort_of(history, pipelines, judgement=judgement_of(services, subjects=wish.subjects))
    shown = [column.pipeline for column in cohort.columns]
    groups = tuple(failure_groups(history, waiting=cohort.waiting(), since=wish.since))
    pipeline_of = {run.id: run.pipeline for run in history.runs}
    return Report(
        wish=wish,
        made_at=services.clock(),
        cohort=cohort,
        history=history,
        flow=flow_of(history.runs, pipelines=[one.name for one in shown], since=wish.since),
        usage=tuple(usage_of(history.attempts, pipeline_of=pipeline_of, pipelines=shown, since=wish.since)),
        groups=groups,
        lines=example_lines(services, groups),
        holds=services.holds(),
        figures=read_figures(cohort),
        provenance=provenance_of(services, history),
    )


def _check_subjects(services: Services, wanted: tuple[str, ...]) -> None:
    known = [subject.label for subject in services.state.list_subjects()] if wanted else []
    missing = [label for label in wanted if label not in known]
    if missing:
        near = difflib.get_close_matches(missing[0], known, n=1)
        guess = f" Did you mean '{near[0]}'?" if near else ""
        raise NotFoundError(
            f"there is no subject '{missing[0]}'.{guess} {len(known)} subjects are known",
            hint="`neuroflow status` shows what there is; `neuroflow scan` looks for new ones",
        )
