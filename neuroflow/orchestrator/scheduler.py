"""What should run: a pure choice from a snapshot of the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from neuroflow.domain import (
    IN_FLIGHT_RUN_STATUSES,
    OPEN_RUN_STATUSES,
    Level,
    RunProposal,
    RunRecord,
    RunStatus,
    SessionRecord,
    SessionStatus,
    Snapshot,
)
from neuroflow.domain.overview import WaitKind
from neuroflow.orchestrator.registry import Pipeline, Registry

# These have no attempt in flight, so they can be withdrawn without touching the cluster.
WITHDRAWABLE = frozenset({RunStatus.PENDING, RunStatus.QUEUED, RunStatus.RETRY_WAIT})


@dataclass(frozen=True)
class Wait:
    """Why a pipeline has nothing to do for a scope yet."""

    pipeline: str
    scope: str
    reason: str
    kind: WaitKind = WaitKind.UPSTREAM
    about: str = ""  # what it has in common with others of its kind; empty: its whole reason


@dataclass(frozen=True)
class Withdrawal:
    """An open run whose inputs are no longer the current ones."""

    run_id: int
    reason: str


@dataclass(frozen=True)
class OutOfDate:
    """A completed newest run whose inputs are no longer the present ones."""

    pipeline: str
    scope: str
    is_blocked: bool  # nothing brings it on by itself; otherwise it is to be run again, or waits for that


@dataclass(frozen=True)
class Plan:
    """Runs to open, runs to withdraw, and what waits for what."""

    proposals: tuple[RunProposal, ...]
    withdrawals: tuple[Withdrawal, ...]
    waits: tuple[Wait, ...]
    # Ready scopes that nothing brings on by itself: told to people, and nothing follows from it.
    blocked: tuple[Wait, ...] = field(default=(), compare=False)
    # Told to people as well: results that exist, and are not those of the present inputs.
    out_of_date: tuple[OutOfDate, ...] = field(default=(), compare=False)


Place = tuple[str, str]  # a pipeline's name, and a scope


class Kind(StrEnum):
    """How a pipeline stands for a scope."""

    CURRENT = "current"  # completed over the present inputs
    COMING = "coming"  # open, proposed, or about to be
    SETTLING = "settling"  # its files still arrive
    BLOCKED = "blocked"  # failed or cancelled over the present inputs
    ABSENT = "absent"  # nothing to do: excluded, invalid, or nothing upstream


@dataclass(frozen=True)
class Standing:
    """How a pipeline stands for a scope, with the run that says so, or what that depends on."""

    kind: Kind
    reason: str = ""
    run: RunRecord | None = None
    waits_for: WaitKind = WaitKind.UPSTREAM
    about: str = ""
    upon: tuple[Place, ...] = ()  # what has to change before this does

    def wait(self, pipeline: str, scope: str, kind: WaitKind) -> Wait:
        """Return what is told of a scope that waits so."""
        return Wait(pipeline, scope, self.reason, kind, self.about)


def plan_runs(snapshot: Snapshot, registry: Registry) -> Plan:
    """Compare what exists with what should exist, for every pipeline and scope."""
    return _Planner(snapshot, registry).plan()


def standings(snapshot: Snapshot, registry: Registry) -> Mapping[Place, Standing]:
    """Return how every pipeline stands for every scope; a subject depends on no other, and may be asked for alone."""
    planner = _Planner(snapshot, registry)
    planner.plan()
    return planner.standings


@dataclass(frozen=True)
class SessionResult:
    """How one pipeline stands for one session, at whichever level it runs."""

    session: SessionRecord
    pipeline: str
    kind: Kind  # a session that settles is coming
    reason: str
    run: RunRecord | None  # that was completed, failed or is open; None where there is none over the present inputs


def session_results(snapshot: Snapshot, registry: Registry) -> list[SessionResult]:
    """Return how every pipeline stands for every session, sessions by label, pipelines in their order."""
    planner = _Planner(snapshot, registry)
    planner.plan()
    return [
        planner.result(pipeline, session)
        for sessions in planner.sessions.values()
        for session in sessions
        for pipeline in registry
    ]


@dataclass(frozen=True)
class _Scope:
    """One subject or session that a pipeline can cover."""

    name: str
    subject_id: int
    session: SessionRecord | None  # None at subject level

    @property
    def session_id(self) -> int | None:
        return self.session.id if self.session else None


@dataclass
class _Planner:
    snapshot: Snapshot
    registry: Registry
    newest: dict[tuple[str, str], RunRecord] = field(default_factory=dict)
    standings: dict[tuple[str, str], Standing] = field(default_factory=dict)
    open_by_subject: dict[int, list[RunRecord]] = field(default_factory=lambda: defaultdict(list))
    sessions: dict[int, list[SessionRecord]] = field(default_factory=lambda: defaultdict(list))
    proposals: list[RunProposal] = field(default_factory=list)
    withdrawals: list[Withdrawal] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    blocked: list[Wait] = field(default_factory=list)
    out_of_date: list[OutOfDate] = field(default_factory=list)

    def plan(self) -> Plan:
        self._index()
        for pipeline in self.registry:
            for scope in self._scopes(pipeline.level):
                standing = self._assess(pipeline, scope)
                self.standings[pipeline.name, scope.name] = standing
                self._note_wait(pipeline, scope, standing)
                self._note_out_of_date(pipeline, scope, standing)
        return Plan(
            tuple(self.proposals),
            tuple(self.withdrawals),
            tuple(self.waits),
            tuple(self.blocked),
            tuple(self.out_of_date),
        )

    def _note_wait(self, pipeline: Pipeline, scope: _Scope, standing: Standing) -> None:
        if standing.run is not None or not standing.reason:
            return
        if standing.kind is Kind.SETTLING:
            self.waits.append(standing.wait(pipeline.name, scope.name, WaitKind.SETTLING))
        elif standing.kind is Kind.COMING:
            self.waits.append(standing.wait(pipeline.name, scope.name, standing.waits_for))
        elif pipeline.enabled and self._may_start(scope):
            self.blocked.append(standing.wait(pipeline.name, scope.name, WaitKind.BLOCKED))

    def _may_start(self, scope: _Scope) -> bool:
        return any(session.status is SessionStatus.READY for session in self._sessions_of(scope))

    def _sessions_of(self, scope: _Scope) -> list[SessionRecord]:
        return [scope.session] if scope.session is not None else self.sessions[scope.subject_id]

    def _note_out_of_date(self, pipeline: Pipeline, scope: _Scope, standing: Standing) -> None:
        newest = self.newest.get((pipeline.name, scope.name))
        if newest is None or newest.status is not RunStatus.COMPLETED or newest.superseded:
            return
        # What is left out, or switched off, keeps what it has: there are no present inputs to compare with.
        if standing.kind is Kind.CURRENT or not pipeline.enabled:
            return
        if any(one.status in (SessionStatus.READY, SessionStatus.SETTLING) for one in self._sessions_of(scope)):
            is_blocked = standing.kind not in (Kind.COMING, Kind.SETTLING)
            self.out_of_date.append(OutOfDate(pipeline.name, scope.name, is_blocked))

    def result(self, pipeline: Pipeline, session: SessionRecord) -> SessionResult:
        """Say how a pipeline stands for a session, once the plan is made."""
        scope = session.scope if pipeline.level is Level.SESSION else f"sub-{session.subject}"
        standing = self.standings[pipeline.name, scope]
        if standing.kind is Kind.CURRENT and standing.run and not self._was_part(pipeline, standing.run, session):
            reason = f"the session was not part of {pipeline.name} run {standing.run.id}"
            return SessionResult(session, pipeline.name, Kind.ABSENT, reason, None)
        kind = Kind.COMING if standing.kind is Kind.SETTLING else standing.kind
        reason = standing.reason or f"{pipeline.name} is to be run"
        return SessionResult(session, pipeline.name, kind, reason, standing.run)

    def _index(self) -> None:
        for run in self.snapshot.runs:
            if run.was_withdrawn:
                continue
            key = (run.pipeline, run.scope)
            if key not in self.newest or run.id > self.newest[key].id:
                self.newest[key] = run
            if run.status in OPEN_RUN_STATUSES:
                self.open_by_subject[run.subject_id].append(run)
        for session in sorted(self.snapshot.sessions, key=lambda item: (item.subject, item.label)):
            self.sessions[session.subject_id].append(session)

    def _scopes(self, level: Level) -> list[_Scope]:
        if level is Level.SESSION:
            return [
                _Scope(session.scope, subject_id, session)
                for subject_id, sessions in self.sessions.items()
                for session in sessions
            ]
        return [
            _Scope(f"sub-{sessions[0].subject}", subject_id, None) for subject_id, sessions in self.sessions.items()
        ]

    def _assess(self, pipeline: Pipeline, scope: _Scope) -> Standing:
        newest = self.newest.get((pipeline.name, scope.name))
        if not pipeline.enabled and (scope.session is None or scope.session.status is SessionStatus.READY):
            done = newest is not None and newest.status is RunStatus.COMPLETED and not newest.superseded
            return Standing(Kind.CURRENT, run=newest) if done else Standing(Kind.ABSENT, f"{pipeline.name} is disabled")
        if newest is not None and newest.status in IN_FLIGHT_RUN_STATUSES:
            return Standing(Kind.COMING, f"{pipeline.name} is {newest.status}", newest)
        key = self._wanted_key(pipeline, scope, newest)
        if isinstance(key, Standing):
            return self._without_inputs(newest, key)
        if newest is not None and newest.status in OPEN_RUN_STATUSES:
            if newest.inputs_key == key:
                return Standing(Kind.COMING, f"{pipeline.name} is {newest.status}", newest)
            return self._withdraw(newest, "its inputs changed before it started")
        if newest is not None and not newest.superseded and self._covers(newest, key):
            kind = Kind.CURRENT if newest.status is RunStatus.COMPLETED else Kind.BLOCKED
            return Standing(kind, f"{pipeline.name} {newest.status}: {newest.reason}", newest)
        return self._propose(pipeline, scope, key, newest)

    def _without_inputs(self, newest: RunRecord | None, standing: Standing) -> Standing:
        if newest is not None and newest.status in WITHDRAWABLE:
            return self._withdraw(newest, standing.reason)
        return standing

    def _withdraw(self, run: RunRecord, reason: str) -> Standing:
        self.withdrawals.append(Withdrawal(run.id, reason))
        return Standing(Kind.COMING, f"{run.pipeline} is opened again: {reason}")

    @staticmethod
    def _covers(run: RunRecord, key: str) -> bool:
        """Tell whether a run's inputs are the wanted ones.

        A completed run over more sessions than are wanted now stays current: excluding a session takes nothing
        from the results of the others, and a subject's preprocessing costs hundreds of core-hours.
        """
        if run.inputs_key == key:
            return True
        had, wanted = input_ids(run.inputs_key), input_ids(key)
        return run.status is RunStatus.COMPLETED and bool(wanted) and wanted < had

    def _propose(self, pipeline: Pipeline, scope: _Scope, key: str, newest: RunRecord | None) -> Standing:
        readers = self._readers(pipeline, scope)
        if readers:  # those that have not started are withdrawn when their own pipeline is looked at
            named = ", ".join(sorted(f"{run.pipeline} of {run.scope}" for run in readers))
            about = "waits until the previous results are no longer read"
            upon = tuple(sorted((run.pipeline, run.scope) for run in readers))
            return Standing(Kind.COMING, f"{about} by {named}", waits_for=WaitKind.READERS, about=about, upon=upon)
        reason = "first run" if newest is None else "asked for again" if newest.superseded else "its inputs changed"
        self.proposals.append(
            RunProposal(pipeline.name, pipeline.level, scope.name, scope.subject_id, scope.session_id, key, reason)
        )
        return Standing(Kind.COMING)

    def _readers(self, pipeline: Pipeline, scope: _Scope) -> list[RunRecord]:
        """Open downstream runs that read what this scope's run would replace."""
        names = {later.name for later in self.registry.downstream_of(pipeline.name)}
        return [
            run
            for run in self.open_by_subject.get(scope.subject_id, ())
            if run.pipeline in names and (scope.session_id is None or run.session_id in (None, scope.session_id))
        ]

    def _wanted_key(self, pipeline: Pipeline, scope: _Scope, newest: RunRecord | None) -> str | Standing:
        if scope.session is not None and scope.session.status is not SessionStatus.READY:
            kind = Kind.SETTLING if scope.session.status is SessionStatus.SETTLING else Kind.ABSENT
            about = f"the session is {scope.session.status}"
            return Standing(kind, f"{about}: {scope.session.status_reason}", about=about)
        if not pipeline.depends_on:
            return self._source_key(scope)
        parts = []
        for name in pipeline.depends_on:
            upstream = self.registry.get(name)
            part = (
                self._gathered(upstream, scope, newest)
                if pipeline.level is Level.SUBJECT and upstream.level is Level.SESSION
                else self._inherited(upstream, scope)
            )
            if isinstance(part, Standing):
                return part
            parts.append(part)
        return ";".join(parts)

    def _source_key(self, scope: _Scope) -> str | Standing:
        if scope.session is not None:
            return f"dicom:{scope.session.fingerprint}"
        ready = [item for item in self.sessions[scope.subject_id] if item.status is SessionStatus.READY]
        return (
            "dicom:" + "+".join(item.fingerprint for item in ready)
            if ready
            else Standing(Kind.ABSENT, "no session is ready")
        )

    def _gathered(self, upstream: Pipeline, scope: _Scope, newest: RunRecord | None) -> str | Standing:
        """Return the key of all of a subject's sessions, or why it can't be made yet."""
        standings = {
            session.scope: self.standings[upstream.name, session.scope] for session in self.sessions[scope.subject_id]
        }
        coming = [name for name, standing in standings.items() if standing.kind is Kind.COMING]
        if coming:
            return _waits_for(upstream, coming)
        ids = sorted(
            standing.run.id for standing in standings.values() if standing.kind is Kind.CURRENT and standing.run
        )
        key = f"{upstream.name}:{','.join(map(str, ids))}"
        settling = [name for name, standing in standings.items() if standing.kind is Kind.SETTLING]
        upon = tuple((upstream.name, name) for name in settling or standings)
        done = newest is not None and newest.status is RunStatus.COMPLETED and not newest.superseded
        if settling and not (ids and done and newest is not None and self._covers(newest, key)):
            reason = f"waits for {', '.join(settling)}, whose files still arrive"
            about = "waits for sessions whose files still arrive"
            return Standing(Kind.COMING, reason, waits_for=WaitKind.SETTLING, about=about, upon=upon)
        if not ids:
            return Standing(Kind.ABSENT, f"no session has passed {upstream.name}", upon=upon)
        return key

    def _inherited(self, upstream: Pipeline, scope: _Scope) -> str | Standing:
        """Return the key of one upstream run, of the same scope or of the session's subject."""
        if upstream.level is Level.SUBJECT and scope.session is not None:
            name = f"sub-{scope.session.subject}"
        else:
            name = scope.name
        upon = ((upstream.name, name),)
        standing = self.standings[upstream.name, name]
        if standing.kind is Kind.COMING:
            return _waits_for(upstream, [name])
        if standing.kind is not Kind.CURRENT or standing.run is None:
            about = _blocked_by(upstream, standing)
            return Standing(Kind.ABSENT, f"{upstream.name} of {name}: {standing.reason}", about=about, upon=upon)
        if scope.session is not None and not self._was_part(upstream, standing.run, scope.session):
            sources = tuple((source, scope.session.scope) for source in self._sources(upstream))
            about = f"the session was not part of the run of {upstream.name}"
            reason = f"the session was not part of {upstream.name} run {standing.run.id}"
            return Standing(Kind.ABSENT, reason, about=about, upon=sources)
        return f"{upstream.name}:{standing.run.id}"

    def _was_part(self, upstream: Pipeline, run: RunRecord, session: SessionRecord) -> bool:
        if upstream.level is not Level.SUBJECT:
            return True
        ids = input_ids(run.inputs_key)
        runs = [self.standings[name, session.scope].run for name in self._sources(upstream)]
        return all(source is not None and f"{source.pipeline}:{source.id}" in ids for source in runs)

    def _sources(self, upstream: Pipeline) -> list[str]:
        """Return the pipelines whose runs of single sessions a subject's run is made of."""
        return [name for name in upstream.depends_on if self.registry.get(name).level is Level.SESSION]


def _waits_for(upstream: Pipeline, scopes: Sequence[str]) -> Standing:
    upon = tuple((upstream.name, scope) for scope in scopes)
    reason = f"waits for {upstream.name} of {scopes[0]}"
    return Standing(Kind.COMING, reason, about=f"waits for {upstream.name}", upon=upon)


def _blocked_by(upstream: Pipeline, standing: Standing) -> str:
    """Say in words that fit every scope why what an upstream pipeline left can't be worked on."""
    if standing.run is not None:
        return f"{upstream.name} {standing.run.status}"
    return standing.about or standing.reason


def input_ids(key: str) -> frozenset[str]:
    """Split an inputs key such as `bids_conversion:3,7` into `{bids_conversion:3, bids_conversion:7}`."""
    found = set()
    for part in key.split(";"):
        name, _, ids = part.partition(":")
        if name != "dicom":
            found |= {f"{name}:{one}" for one in ids.split(",") if one}
    return frozenset(found)
