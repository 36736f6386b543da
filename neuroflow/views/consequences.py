"""What follows from a change by hand: the scheduler's own plan is played to its end, with the change and without."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import count

from neuroflow.domain import (
    IN_FLIGHT_RUN_STATUSES,
    OPEN_RUN_STATUSES,
    Change,
    Level,
    RunProposal,
    RunRecord,
    RunStatus,
    SessionRecord,
    SessionStatus,
    Snapshot,
)
from neuroflow.orchestrator.registry import Registry
from neuroflow.orchestrator.scheduler import plan_runs

# Each pipeline may have to wait for runs that end first, for its upstream, and for what is withdrawn.
_ROUNDS_PER_PIPELINE = 3

Key = tuple[str, str]  # pipeline and scope


@dataclass(frozen=True)
class Following:
    """A run that will be opened because of the change."""

    pipeline: str
    scope: str
    replaces: int | None  # the completed run whose results it replaces, once its own are whole


@dataclass(frozen=True)
class UnderWay:
    """An open run, and what becomes of it."""

    run: RunRecord
    fate: str  # cancelled, withdrawn or goes on


@dataclass(frozen=True)
class Kept:
    """Results over a whole subject that stay, though they were made with a session that is taken out."""

    pipeline: str
    scope: str
    run_id: int
    others: bool  # whether the subject has sessions left, over which it could be made anew


@dataclass(frozen=True)
class Consequences:
    """Everything that follows, upstream first."""

    following: tuple[Following, ...]
    anyway: tuple[Key, ...]  # what would be opened for these subjects without the change too
    dropped: tuple[Key, ...]  # what would have come, and does not any more
    under_way: tuple[UnderWay, ...]
    kept: tuple[Kept, ...]


def foresee(snapshot: Snapshot, registry: Registry, change: Change) -> Consequences:
    """Return what follows from a change, supposed that every run succeeds and files that still arrive are complete.

    Args:
        snapshot: of the subjects that the change is about.
    """
    settled = _settled(snapshot)
    changed = _changed(settled, change)
    before, after = _play(settled, registry), _play(changed, registry)
    order = {name: number for number, name in enumerate(registry.names())}
    newest = _newest_completed(snapshot)
    following = [
        Following(*key, replaces=newest[key].id if key in newest else None)
        for key in after.opened
        if key not in before.opened
    ]
    under_way = _under_way(snapshot, change, after, before, {(one.pipeline, one.scope) for one in following})
    told = {(item.run.pipeline, item.run.scope) for item in under_way}
    dropped = before.came.keys() - after.came.keys() - told

    def sort(keys: Iterable[Key]) -> tuple[Key, ...]:
        return tuple(sorted(keys, key=lambda key: (order[key[0]], key[1])))

    return Consequences(
        following=tuple(sorted(following, key=lambda item: (order[item.pipeline], item.scope))),
        anyway=sort(after.opened.keys() & before.opened.keys()),
        dropped=sort(dropped),
        under_way=tuple(under_way),
        kept=tuple(_kept(snapshot, registry, change, after)),
    )


@dataclass
class _Played:
    """How it ends."""

    opened: dict[Key, None] = field(default_factory=dict)  # in order
    came: dict[Key, None] = field(default_factory=dict)  # opened, or open before
    withdrawn: set[int] = field(default_factory=set)


def _settled(snapshot: Snapshot) -> Snapshot:
    sessions = tuple(
        replace(item, status=SessionStatus.READY) if item.status is SessionStatus.SETTLING else item
        for item in snapshot.sessions
    )
    return replace(snapshot, sessions=sessions)


def _changed(snapshot: Snapshot, change: Change) -> Snapshot:
    return replace(
        snapshot,
        sessions=tuple(_session_after(item, change) for item in snapshot.sessions),
        runs=tuple(_run_after(run, change) for run in snapshot.runs),
    )


def _session_after(session: SessionRecord, change: Change) -> SessionRecord:
    if session.id in change.excluded:
        return replace(session, status=SessionStatus.EXCLUDED)
    if session.id in change.included:
        return replace(session, status=SessionStatus.READY)
    return session


def _run_after(run: RunRecord, change: Change) -> RunRecord:
    if run.id in change.cancelled:
        run = replace(run, status=RunStatus.CANCELLED)
    return replace(run, superseded=True) if run.id in change.superseded else run


def _play(snapshot: Snapshot, registry: Registry) -> _Played:
    """Let plans follow each other until nothing is left to be done; what is open, or is opened, completes."""
    played = _Played()
    runs = {run.id: run for run in snapshot.runs}
    ids = count(max(runs, default=0) + 1)
    sessions = snapshot.sessions
    for _ in range(_ROUNDS_PER_PIPELINE * (len(registry.names()) + 1)):
        plan = plan_runs(replace(snapshot, sessions=sessions, runs=tuple(runs.values())), registry)
        for item in plan.withdrawals:
            played.withdrawn.add(item.run_id)
            runs[item.run_id] = replace(runs[item.run_id], status=RunStatus.CANCELLED, superseded=True)
        ending = [run for run in runs.values() if run.status in OPEN_RUN_STATUSES]
        # A subject for which nothing was left to be done stays as it is: it needs no further look.
        busy = {runs[item.run_id].subject_id for item in plan.withdrawals}
        busy |= {run.subject_id for run in ending} | {proposal.subject_id for proposal in plan.proposals}
        if not busy:
            break
        for run in ending:
            runs[run.id] = replace(run, status=RunStatus.COMPLETED)
            played.came[run.pipeline, run.scope] = None
        for proposal in plan.proposals:
            run_id = next(ids)
            runs[run_id] = _completed(proposal, run_id, snapshot)
            played.opened[proposal.pipeline, proposal.scope] = None
            played.came[proposal.pipeline, proposal.scope] = None
        runs = {run.id: run for run in runs.values() if run.subject_id in busy}
        sessions = tuple(session for session in sessions if session.subject_id in busy)
    return played


def _completed(proposal: RunProposal, run_id: int, snapshot: Snapshot) -> RunRecord:
    return RunRecord.untouched(
        id=run_id,
        pipeline=proposal.pipeline,
        level=proposal.level,
        scope=proposal.scope,
        subject_id=proposal.subject_id,
        session_id=proposal.session_id,
        subject="",
        session=None,
        inputs_key=proposal.inputs_key,
        status=RunStatus.COMPLETED,
        reason=proposal.reason,
        superseded=False,
        at=snapshot.now,
    )


def _newest_completed(snapshot: Snapshot) -> Mapping[Key, RunRecord]:
    newest: dict[Key, RunRecord] = {}
    for run in sorted(snapshot.runs, key=lambda run: run.id):
        if run.status is RunStatus.COMPLETED:
            newest[run.pipeline, run.scope] = run
    return newest


def _under_way(
    snapshot: Snapshot, change: Change, after: _Played, before: _Played, following: Collection[Key]
) -> list[UnderWay]:
    found = []
    for run in snapshot.runs:
        if run.id in change.cancelled:
            found.append(UnderWay(run, "cancelled"))
        elif run.id in after.withdrawn and (run.id not in before.withdrawn or run.session_id in change.excluded):
            found.append(UnderWay(run, "withdrawn"))
        elif run.status in IN_FLIGHT_RUN_STATUSES and (
            (run.pipeline, run.scope) in following or run.session_id in change.excluded
        ):
            found.append(UnderWay(run, "goes on"))
    return sorted(found, key=lambda item: item.run.id)


def _kept(snapshot: Snapshot, registry: Registry, change: Change, after: _Played) -> list[Kept]:
    """Return the results over subjects that an excluded session is part of, and that nothing replaces."""
    if not change.excluded:
        return []
    sources = {f"{run.pipeline}:{run.id}" for run in snapshot.runs if run.session_id in change.excluded}
    left = {
        session.subject_id
        for session in snapshot.sessions
        if session.id not in change.excluded and session.status in (SessionStatus.READY, SessionStatus.SETTLING)
    }
    levels = {pipeline.name: pipeline.level for pipeline in registry}
    return [
        Kept(run.pipeline, run.scope, run.id, run.subject_id in left)
        for key, run in _newest_completed(snapshot).items()
        if levels.get(run.pipeline) is Level.SUBJECT and key not in after.opened and sources & _inputs(run.inputs_key)
    ]


def _inputs(key: str) -> set[str]:
    return {
        f"{name}:{one}" for name, _, ids in (part.partition(":") for part in key.split(";")) for one in ids.split(",")
    }
