"""What should run: a pure choice from a snapshot of the database."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto

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
from neuroflow.orchestrator.registry import Pipeline, Registry

# These have no attempt in flight, so they can be withdrawn without touching the cluster.
WITHDRAWABLE = frozenset({RunStatus.PENDING, RunStatus.QUEUED, RunStatus.RETRY_WAIT})


@dataclass(frozen=True)
class Wait:
    """Why a pipeline has nothing to do for a scope yet."""

    pipeline: str
    scope: str
    reason: str


@dataclass(frozen=True)
class Withdrawal:
    """An open run whose inputs are no longer the current ones."""

    run_id: int
    reason: str


@dataclass(frozen=True)
class Plan:
    """Runs to open, runs to withdraw, and what waits for what."""

    proposals: tuple[RunProposal, ...]
    withdrawals: tuple[Withdrawal, ...]
    waits: tuple[Wait, ...]


def plan_runs(snapshot: Snapshot, registry: Registry) -> Plan:
    """Compare what exists with what should exist, for every pipeline and scope."""
    return _Planner(snapshot, registry).plan()


class Standing(StrEnum):
    """How a pipeline stands for a session."""

    CURRENT = "current"  # completed over the present inputs
    COMING = "coming"  # open, to be opened, or waiting for something that is
    BLOCKED = "blocked"  # failed or cancelled over the present inputs
    ABSENT = "absent"  # nothing to do: excluded, invalid, disabled, or nothing upstream


@dataclass(frozen=True)
class SessionResult:
    """How one pipeline stands for one session, at whichever level it runs."""

    session: SessionRecord
    pipeline: str
    standing: Standing
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


class _Kind(Enum):
    CURRENT = auto()  # completed over the present inputs
    COMING = auto()  # open, proposed, or about to be
    SETTLING = auto()  # its files still arrive
    BLOCKED = auto()  # failed or cancelled over the present inputs
    ABSENT = auto()  # nothing to do: excluded, invalid, or nothing upstream


_STANDINGS = {
    _Kind.CURRENT: Standing.CURRENT,
    _Kind.COMING: Standing.COMING,
    _Kind.SETTLING: Standing.COMING,
    _Kind.BLOCKED: Standing.BLOCKED,
    _Kind.ABSENT: Standing.ABSENT,
}


@dataclass(frozen=True)
class _Standing:
    kind: _Kind
    reason: str = ""
    run: RunRecord | None = None


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
    standings: dict[tuple[str, str], _Standing] = field(default_factory=dict)
    open_by_subject: dict[int, list[RunRecord]] = field(default_factory=lambda: defaultdict(list))
    sessions: dict[int, list[SessionRecord]] = field(default_factory=lambda: defaultdict(list))
    proposals: list[RunProposal] = field(default_factory=list)
    withdrawals: list[Withdrawal] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)

    def plan(self) -> Plan:
        self._index()
        for pipeline in self.registry:
            for scope in self._scopes(pipeline.level):
                standing = self._assess(pipeline, scope)
                self.standings[pipeline.name, scope.name] = standing
                if standing.kind in (_Kind.COMING, _Kind.SETTLING) and standing.run is None and standing.reason:
                    self.waits.append(Wait(pipeline.name, scope.name, standing.reason))
        return Plan(tuple(self.proposals), tuple(self.withdrawals), tuple(self.waits))

    def result(self, pipeline: Pipeline, session: SessionRecord) -> SessionResult:
        """Say how a pipeline stands for a session, once the plan is made."""
        scope = session.scope if pipeline.level is Level.SESSION else f"sub-{session.subject}"
        standing = self.standings[pipeline.name, scope]
        if standing.kind is _Kind.CURRENT and standing.run and not self._was_part(pipeline, standing.run, session):
            reason = f"the session was not part of {pipeline.name} run {standing.run.id}"
            return SessionResult(session, pipeline.name, Standing.ABSENT, reason, None)
        reason = standing.reason or f"{pipeline.name} is to be run"
        return SessionResult(session, pipeline.name, _STANDINGS[standing.kind], reason, standing.run)

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

    def _assess(self, pipeline: Pipeline, scope: _Scope) -> _Standing:
        newest = self.newest.get((pipeline.name, scope.name))
        if not pipeline.enabled and (scope.session is None or scope.session.status is SessionStatus.READY):
            done = newest is not None and newest.status is RunStatus.COMPLETED and not newest.superseded
            return (
                _Standing(_Kind.CURRENT, run=newest)
                if done
                else _Standing(_Kind.ABSENT, f"{pipeline.name} is disabled")
            )
        if newest is not None and newest.status in IN_FLIGHT_RUN_STATUSES:
            return _Standing(_Kind.COMING, f"{pipeline.name} is {newest.status}", newest)
        key = self._wanted_key(pipeline, scope, newest)
        if isinstance(key, _Standing):
            return self._without_inputs(newest, key)
        if newest is not None and newest.status in OPEN_RUN_STATUSES:
            if newest.inputs_key == key:
                return _Standing(_Kind.COMING, f"{pipeline.name} is {newest.status}", newest)
            return self._withdraw(newest, "its inputs changed before it started")
        if newest is not None and not newest.superseded and self._covers(newest, key):
            kind = _Kind.CURRENT if newest.status is RunStatus.COMPLETED else _Kind.BLOCKED
            return _Standing(kind, f"{pipeline.name} {newest.status}: {newest.reason}", newest)
        return self._propose(pipeline, scope, key, newest)

    def _without_inputs(self, newest: RunRecord | None, standing: _Standing) -> _Standing:
        if newest is not None and newest.status in WITHDRAWABLE:
            return self._withdraw(newest, standing.reason)
        return standing

    def _withdraw(self, run: RunRecord, reason: str) -> _Standing:
        self.withdrawals.append(Withdrawal(run.id, reason))
        return _Standing(_Kind.COMING, f"{run.pipeline} is opened again: {reason}")

    @staticmethod
    def _covers(run: RunRecord, key: str) -> bool:
        """Tell whether a run's inputs are the wanted ones.

        A completed run over more sessions than are wanted now stays current: excluding a session takes nothing
        from the results of the others, and a subject's preprocessing costs hundreds of core-hours.
        """
        if run.inputs_key == key:
            return True
        had, wanted = _input_ids(run.inputs_key), _input_ids(key)
        return run.status is RunStatus.COMPLETED and bool(wanted) and wanted < had

    def _propose(self, pipeline: Pipeline, scope: _Scope, key: str, newest: RunRecord | None) -> _Standing:
        readers = self._readers(pipeline, scope)
        if readers:  # those that have not started are withdrawn when their own pipeline is looked at
            named = ", ".join(sorted(f"{run.pipeline} of {run.scope}" for run in readers))
            return _Standing(_Kind.COMING, f"waits until the previous results are no longer read by {named}")
        reason = "first run" if newest is None else "asked for again" if newest.superseded else "its inputs changed"
        self.proposals.append(
            RunProposal(pipeline.name, pipeline.level, scope.name, scope.subject_id, scope.session_id, key, reason)
        )
        return _Standing(_Kind.COMING)

    def _readers(self, pipeline: Pipeline, scope: _Scope) -> list[RunRecord]:
        """Open downstream runs that read what this scope's run would replace."""
        names = {later.name for later in self.registry.downstream_of(pipeline.name)}
        return [
            run
            for run in self.open_by_subject.get(scope.subject_id, ())
            if run.pipeline in names and (scope.session_id is None or run.session_id in (None, scope.session_id))
        ]

    def _wanted_key(self, pipeline: Pipeline, scope: _Scope, newest: RunRecord | None) -> str | _Standing:
        if scope.session is not None and scope.session.status is not SessionStatus.READY:
            kind = _Kind.SETTLING if scope.session.status is SessionStatus.SETTLING else _Kind.ABSENT
            return _Standing(kind, f"the session is {scope.session.status}: {scope.session.status_reason}")
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
            if isinstance(part, _Standing):
                return part
            parts.append(part)
        return ";".join(parts)

    def _source_key(self, scope: _Scope) -> str | _Standing:
        if scope.session is not None:
            return f"dicom:{scope.session.fingerprint}"
        ready = [item for item in self.sessions[scope.subject_id] if item.status is SessionStatus.READY]
        return (
            "dicom:" + "+".join(item.fingerprint for item in ready)
            if ready
            else _Standing(_Kind.ABSENT, "no session is ready")
        )

    def _gathered(self, upstream: Pipeline, scope: _Scope, newest: RunRecord | None) -> str | _Standing:
        """Return the key of all of a subject's sessions, or why it can't be made yet."""
        standings = {
            session.scope: self.standings[upstream.name, session.scope] for session in self.sessions[scope.subject_id]
        }
        for name, standing in standings.items():
            if standing.kind is _Kind.COMING:
                return _Standing(_Kind.COMING, f"waits for {upstream.name} of {name}")
        ids = sorted(
            standing.run.id for standing in standings.values() if standing.kind is _Kind.CURRENT and standing.run
        )
        key = f"{upstream.name}:{','.join(map(str, ids))}"
        settling = [name for name, standing in standings.items() if standing.kind is _Kind.SETTLING]
        done = newest is not None and newest.status is RunStatus.COMPLETED and not newest.superseded
        if settling and not (ids and done and newest is not None and self._covers(newest, key)):
            return _Standing(_Kind.COMING, f"waits for {', '.join(settling)}, whose files still arrive")
        if not ids:
            return _Standing(_Kind.ABSENT, f"no session has passed {upstream.name}")
        return key

    def _inherited(self, upstream: Pipeline, scope: _Scope) -> str | _Standing:
        """Return the key of one upstream run, of the same scope or of the session's subject."""
        if upstream.level is Level.SUBJECT and scope.session is not None:
            name = f"sub-{scope.session.subject}"
        else:
            name = scope.name
        standing = self.standings[upstream.name, name]
        if standing.kind is _Kind.COMING:
            return _Standing(_Kind.COMING, f"waits for {upstream.name} of {name}")
        if standing.kind is not _Kind.CURRENT or standing.run is None:
            return _Standing(_Kind.ABSENT, f"{upstream.name} of {name}: {standing.reason}")
        if scope.session is not None and not self._was_part(upstream, standing.run, scope.session):
            return _Standing(_Kind.ABSENT, f"the session was not part of {upstream.name} run {standing.run.id}")
        return f"{upstream.name}:{standing.run.id}"

    def _was_part(self, upstream: Pipeline, run: RunRecord, session: SessionRecord) -> bool:
        if upstream.level is not Level.SUBJECT:
            return True
        ids = _input_ids(run.inputs_key)
        sources = [name for name in upstream.depends_on if self.registry.get(name).level is Level.SESSION]
        runs = [self.standings[name, session.scope].run for name in sources]
        return all(source is not None and f"{source.pipeline}:{source.id}" in ids for source in runs)


def _input_ids(key: str) -> frozenset[str]:
    """Split an inputs key such as `bids_conversion:3,7` into `{bids_conversion:3, bids_conversion:7}`."""
    found = set()
    for part in key.split(";"):
        name, _, ids = part.partition(":")
        if name != "dicom":
            found |= {f"{name}:{one}" for one in ids.split(",") if one}
    return frozenset(found)
