"""Acts: what a person asks for by hand, worked out once, shown, and then done exactly as it was shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from neuroflow.core.store import in_chunks
from neuroflow.domain import Change, RerunRequest, RunRecord, RunStatus
from neuroflow.orchestrator.control import cancel_runs
from neuroflow.orchestrator.services import Services

# Targets in one transaction: a bulk act keeps nobody waiting, and what is done when it is killed stays done.
BATCH = 200


class Verb(StrEnum):
    """What is done."""

    RERUN = "rerun"
    CANCEL = "cancel"
    EXCLUDE = "exclude"
    INCLUDE = "include"
    PRIORITY = "priority"


@dataclass(frozen=True)
class Target:
    """One thing that was named, and its runs that the act changes."""

    noun: str  # run, session or subject
    id: int
    name: str  # in words
    subject_id: int
    state: str  # how it stands now, in words
    runs: tuple[RunRecord, ...] = ()  # to be run again, to be cancelled, or to be moved in the order
    stops: tuple[RunRecord, ...] = ()  # open ones that are cancelled first


@dataclass(frozen=True)
class Skipped:
    """One thing that was named, and why nothing is done to it."""

    name: str
    why: str
    done: bool = False  # it is as it was asked to be


@dataclass(frozen=True)
class Act:
    """What is to be done to what."""

    verb: Verb
    noun: str  # of its targets
    targets: tuple[Target, ...]
    skipped: tuple[Skipped, ...] = ()
    priority: int | None = None

    @property
    def change(self) -> Change:
        """What it changes, for whoever looks ahead."""
        of_runs = frozenset(run.id for target in self.targets for run in target.runs)
        waiting = frozenset(
            run.id for target in self.targets for run in target.runs if run.status is RunStatus.RETRY_WAIT
        )
        stops = frozenset(run.id for target in self.targets for run in target.stops)
        sessions = frozenset(target.id for target in self.targets)
        return Change(
            superseded=(of_runs - waiting) | stops if self.verb is Verb.RERUN else frozenset(),
            cancelled=of_runs if self.verb is Verb.CANCEL else stops,
            excluded=sessions if self.verb is Verb.EXCLUDE else frozenset(),
            included=sessions if self.verb is Verb.INCLUDE else frozenset(),
        )

    @property
    def subject_ids(self) -> frozenset[int]:
        """The subjects that it is about."""
        return frozenset(target.subject_id for target in self.targets)


@dataclass
class Outcome:
    """What was done, and what was left alone because it is no longer as it was shown."""

    done: list[Target] = field(default_factory=list)
    left: list[Target] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def note(self, targets: Iterable[Target], changed: Callable[[Target], bool]) -> None:
        """Sort targets into those that were changed and the others."""
        for target in targets:
            (self.done if changed(target) else self.left).append(target)


@dataclass(frozen=True)
class Hand:
    """Whose act it is, and why."""

    actor: str
    reason: str


def perform(
    services: Services, act: Act, hand: Hand, *, on_batch: Callable[[Outcome], None] = lambda outcome: None
) -> Outcome:
    """Do an act in bounded transactions; each change is made only where its target is still as the act says.

    Killed half-way, the same act asked for again does the rest.
    """
    outcome = Outcome()
    for batch in in_chunks(act.targets, BATCH):
        _DO[act.verb](services, act, batch, hand, outcome)
        on_batch(outcome)
    return outcome


def _rerun(services: Services, act: Act, batch: Sequence[Target], hand: Hand, outcome: Outcome) -> None:
    stops = [run.id for target in batch for run in target.stops]
    if stops:
        # First: a crash between the two leaves cancelled runs, which are run again when the act is repeated.
        outcome.errors += cancel_runs(services, stops, reason=hand.reason, actor=hand.actor).errors
    waiting = [run.id for target in batch for run in target.runs if run.status is RunStatus.RETRY_WAIT]
    done = {*services.state.hasten_runs(waiting, reason=hand.reason, actor=hand.actor)} if waiting else set()
    requests = [_request(target) for target in batch]
    done |= {*services.state.supersede_runs(requests, reason=hand.reason, actor=hand.actor)}
    outcome.note(batch, lambda target: bool(done.intersection(_request(target).run_ids)))


def _request(target: Target) -> RerunRequest:
    run_ids = tuple(run.id for run in (*target.runs, *target.stops))
    if target.noun == "run":
        return RerunRequest(run_ids)
    return RerunRequest(run_ids, target.noun, target.id)


def _cancel(services: Services, act: Act, batch: Sequence[Target], hand: Hand, outcome: Outcome) -> None:
    cancelled = cancel_runs(services, [target.id for target in batch], reason=hand.reason, actor=hand.actor)
    outcome.errors += cancelled.errors
    done = {*cancelled.run_ids}
    outcome.note(batch, lambda target: target.id in done)


def _exclude(services: Services, act: Act, batch: Sequence[Target], hand: Hand, outcome: Outcome) -> None:
    done = {
        *services.state.set_sessions_excluded(
            [target.id for target in batch], act.verb is Verb.EXCLUDE, reason=hand.reason, actor=hand.actor
        )
    }
    outcome.note(batch, lambda target: target.id in done)


def _prioritise(services: Services, act: Act, batch: Sequence[Target], hand: Hand, outcome: Outcome) -> None:
    change = services.state.set_subject_priorities if act.noun == "subject" else services.state.set_run_priorities
    ids = [target.id for target in batch]
    done = {*change(ids, act.priority or 0, reason=hand.reason, actor=hand.actor)}
    outcome.note(batch, lambda target: target.id in done)


_DO = {
    Verb.RERUN: _rerun,
    Verb.CANCEL: _cancel,
    Verb.EXCLUDE: _exclude,
    Verb.INCLUDE: _exclude,
    Verb.PRIORITY: _prioritise,
}
