"""Put answers about places together, with the clause by which those downstream speak of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from neuroflow.domain import RunRecord
from neuroflow.orchestrator.standing import Place
from neuroflow.views.why_answer import Cause, FailureAnswer, Next, PlaceAnswer
from neuroflow.views.why_facts import Facts
from neuroflow.views.why_words import moment, span

NOTHING = Next("nothing")


@dataclass(frozen=True)
class Said:
    """An answer, and how those downstream speak of it."""

    answer: PlaceAnswer
    clause: str  # with its reason, such as `which failed (run 5): …`
    brief: str  # without, for where the reason stands beside it anyway


@dataclass(frozen=True)
class Reasons:
    """What an answer may have beside its words."""

    causes: tuple[Cause, ...] = ()
    failure: FailureAnswer | None = None


def of_run(
    run: RunRecord,
    state: str,
    summary: str,
    following: Next,
    *,
    since: datetime | None = None,
    reasons: Reasons | None = None,
) -> PlaceAnswer:
    """Return the answer about a place that a run speaks for."""
    why = reasons or Reasons()
    return PlaceAnswer(
        pipeline=run.pipeline,
        scope=run.scope,
        state=state,
        since=since or run.updated_at,
        run=run.id,
        summary=summary,
        next=following,
        causes=why.causes,
        failure=why.failure,
    )


def of_place(place: Place, state: str, summary: str, following: Next, *, causes: tuple[Cause, ...] = ()) -> PlaceAnswer:
    """Return the answer about a place that has no run."""
    since = max((cause.since for cause in causes if cause.since is not None), default=None)
    return PlaceAnswer(*place, state, since, None, summary, following, causes=causes)


def at_next_look(facts: Facts, what: str) -> Next:
    """Return what neuroflow does when it looks at its database next, which is oftener than it asks SLURM."""
    if not facts.life.steady:
        return when_it_runs(facts, what)
    seconds = facts.services.config.cluster.poll_seconds
    at = facts.snapshot.now + timedelta(seconds=seconds)
    return Next(f"neuroflow {what} when it looks next, within {span(seconds)}", at=at)


def at_next_poll(facts: Facts, what: str) -> Next:
    """Return what neuroflow does when it asks for its jobs next."""
    at = facts.life.next_poll
    if not facts.life.steady or at is None:
        return when_it_runs(facts, what)
    return Next(f"neuroflow {what} at the next poll, at {moment(at)}", at=at)


def held_until(pipeline: str, *, show: str = "") -> Next:
    """Return what comes next while a pipeline is held.

    Args:
        show: the signature of the failures for which neuroflow holds it.
    """
    look = (f"neuroflow recovery show {show}",) if show else ()
    text = f"nothing, until a person lets {pipeline} go on"
    return Next(text, needs_person=True, commands=(*look, f"neuroflow pipeline resume {pipeline}"))


def when_it_runs(facts: Facts, what: str, *, before: str = "", at: datetime | None = None) -> Next:
    """Return what neuroflow does when it runs next, while it is not seen to run.

    Args:
        before: what happens all the same.
        at: when it is due.
    """
    due = "" if at is None else f", at {moment(at)} at the earliest"
    text = f"{before}neuroflow {what} when it runs next (`neuroflow up`, or `neuroflow tick`){due}"
    return Next(text, needs_person=not facts.life.works, commands=("neuroflow up",))
