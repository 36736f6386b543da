"""Answer why one subject, session or run stands as it does; of the database only that subject's part is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from neuroflow.domain import OPEN_RUN_STATUSES, Level, RunRecord, RunStatus, SessionRecord, SubjectRecord
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.standing import Place
from neuroflow.views.why_answer import PlaceAnswer, Why
from neuroflow.views.why_facts import Facts, read_facts
from neuroflow.views.why_life import life
from neuroflow.views.why_log import with_evidence
from neuroflow.views.why_places import Explainer
from neuroflow.views.why_results import with_results
from neuroflow.views.why_sessions import session_answer


@dataclass(frozen=True)
class Question:
    """What is asked: a subject, or one of its sessions, or one of its runs."""

    subject: SubjectRecord
    session: SessionRecord | None = None
    pipeline: str | None = None
    run: RunRecord | None = None
    ask_slurm: bool = True
    up: bool | None = None  # whether the services are seen to run; None: not known


def why(services: Services, question: Question) -> Why:
    """Return how things stand, why, and what comes next."""
    facts = read_facts(services, question.subject, life=life(services, up=question.up), ask_slurm=question.ask_slurm)
    is_shown = partial(_is_asked, question=question, facts=facts)
    answers = Explainer(facts, is_shown).explain_all()
    shown = with_results([answer for place, answer in answers.items() if is_shown(place)], facts)
    notes = [*facts.notes, *_about_run(question.run, answers), *_left_out(question, shown)]
    sessions = [one for one in facts.sessions.values() if question.session is None or one.id == question.session.id]
    return Why(
        at=facts.snapshot.now,
        subject=f"sub-{question.subject.label}",
        session=None if question.session is None else question.session.scope,
        life=facts.life,
        sessions=tuple(session_answer(one, facts, conversion=_conversion(one, answers, facts)) for one in sessions),
        pipelines=tuple(_with_evidence(answer, facts) for answer in shown),
        notes=tuple(notes),
    )


def _conversion(session: SessionRecord, answers: dict[Place, PlaceAnswer], facts: Facts) -> str | None:
    """Return the state of the pipeline that reads a session's files."""
    first = next((one.name for one in facts.services.registry if not one.depends_on), "")
    answer = answers.get((first, session.scope))
    return None if answer is None else answer.state


def _is_asked(place: Place, *, question: Question, facts: Facts) -> bool:
    name, scope = place
    if question.pipeline is not None and name != question.pipeline:
        return False
    of_subject = facts.services.registry.get(name).level is Level.SUBJECT
    return question.session is None or of_subject or scope == question.session.scope


def _with_evidence(answer: PlaceAnswer, facts: Facts) -> PlaceAnswer:
    """Add the telling lines of the attempt that failed."""
    tried = facts.attempts.get(answer.run or 0) or []
    if answer.failure is None or not tried:
        return answer
    return replace(answer, failure=with_evidence(answer.failure, tried[-1], facts.services))


def _left_out(question: Question, shown: Sequence[PlaceAnswer]) -> list[str]:
    """Say where a session is no part of its subject's run."""
    if question.session is None:
        return []
    scope = question.session.scope
    return [
        f"{scope} is no part of run {one.run} ({one.pipeline} of {one.scope}), which covers {', '.join(one.covers)}"
        for one in shown
        if one.covers and scope not in one.covers
    ]


def _about_run(run: RunRecord | None, answers: dict[Place, PlaceAnswer]) -> list[str]:
    """Say what became of a run that was asked for, where it does not speak for its place any more."""
    if run is None:
        return []
    answer = answers.get((run.pipeline, run.scope))
    if answer is not None and answer.run == run.id:
        return []
    named = f"run {run.id} ({run.pipeline} of {run.scope}) is {run.status}"
    if run.status in OPEN_RUN_STATUSES:
        return [f"{named}, and is about to be withdrawn: its inputs are not the present ones any more"]
    if run.was_withdrawn:
        return [f"{named}: it was withdrawn before it started ({run.reason})"]
    ended = "and is to be run again" if run.superseded else "and its inputs are not the present ones any more"
    later = f"; run {answer.run} took its place" if answer is not None and answer.run is not None else ""
    results = "; its results stay until the new ones are there" if run.status is RunStatus.COMPLETED else ""
    return [f"{named}, {ended}{later}{results}"]
