"""What should run: a pure choice from a snapshot of the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

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
from neuroflow.orchestrator.plan import WITHDRAWABLE, OutOfDate, Plan, Wait, Withdrawal
from neuroflow.orchestrator.registry import Pipeline, Registry
from neuroflow.orchestrator.standing import Kind, Place, Scope, SessionResult, Standing, is_done
from neuroflow.orchestrator.wanted_inputs import WantedInputs, covers


def plan_runs(snapshot: Snapshot, registry: Registry) -> Plan:
    """Compare what exists with what should exist, for every pipeline and scope."""
    return _Planner(snapshot, registry).plan()


def standings(snapshot: Snapshot, registry: Registry) -> Mapping[Place, Standing]:
    """Return how every pipeline stands for every scope; a subject depends on no other, and may be asked for alone."""
    planner = _Planner(snapshot, registry)
    planner.plan()
    return planner.standings


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


@dataclass
class _Planner:
    snapshot: Snapshot
    registry: Registry
    newest: dict[Place, RunRecord] = field(default_factory=dict)
    standings: dict[Place, Standing] = field(default_factory=dict)
    open_by_subject: dict[int, list[RunRecord]] = field(default_factory=lambda: defaultdict(list))
    sessions: dict[int, list[SessionRecord]] = field(default_factory=lambda: defaultdict(list))
    proposals: list[RunProposal] = field(default_factory=list)
    withdrawals: list[Withdrawal] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    blocked: list[Wait] = field(default_factory=list)
    out_of_date: list[OutOfDate] = field(default_factory=list)

    @cached_property
    def inputs(self) -> WantedInputs:
        return WantedInputs(self.registry, self.sessions, self.standings)

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

    def _note_wait(self, pipeline: Pipeline, scope: Scope, standing: Standing) -> None:
        if standing.run is not None or not standing.reason:
            return
        if standing.kind is Kind.SETTLING:
            self.waits.append(standing.wait(pipeline.name, scope.name, WaitKind.SETTLING))
        elif standing.kind is Kind.COMING:
            self.waits.append(standing.wait(pipeline.name, scope.name, standing.waits_for))
        elif pipeline.enabled and self._may_start(scope):
            self.blocked.append(standing.wait(pipeline.name, scope.name, WaitKind.BLOCKED))

    def _may_start(self, scope: Scope) -> bool:
        return any(session.status is SessionStatus.READY for session in self._sessions_of(scope))

    def _sessions_of(self, scope: Scope) -> list[SessionRecord]:
        return [scope.session] if scope.session is not None else self.sessions[scope.subject_id]

    def _note_out_of_date(self, pipeline: Pipeline, scope: Scope, standing: Standing) -> None:
        newest = self.newest.get((pipeline.name, scope.name))
        # What is left out, or switched off, keeps what it has: there are no present inputs to compare with.
        if not is_done(newest) or standing.kind is Kind.CURRENT or not pipeline.enabled:
            return
        if any(one.status in (SessionStatus.READY, SessionStatus.SETTLING) for one in self._sessions_of(scope)):
            is_blocked = standing.kind not in (Kind.COMING, Kind.SETTLING)
            self.out_of_date.append(OutOfDate(pipeline.name, scope.name, is_blocked))

    def result(self, pipeline: Pipeline, session: SessionRecord) -> SessionResult:
        """Say how a pipeline stands for a session, once the plan is made."""
        scope = session.scope if pipeline.level is Level.SESSION else f"sub-{session.subject}"
        standing = self.standings[pipeline.name, scope]
        if standing.kind is Kind.CURRENT and standing.run and not self.inputs.was_part(pipeline, standing.run, session):
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

    def _scopes(self, level: Level) -> list[Scope]:
        if level is Level.SESSION:
            return [
                Scope(session.scope, subject_id, session)
                for subject_id, sessions in self.sessions.items()
                for session in sessions
            ]
        return [Scope(f"sub-{sessions[0].subject}", subject_id, None) for subject_id, sessions in self.sessions.items()]

    def _assess(self, pipeline: Pipeline, scope: Scope) -> Standing:
        newest = self.newest.get((pipeline.name, scope.name))
        if not pipeline.enabled and (scope.session is None or scope.session.status is SessionStatus.READY):
            disabled = Standing(Kind.ABSENT, f"{pipeline.name} is disabled")
            return Standing(Kind.CURRENT, run=newest) if is_done(newest) else disabled
        if newest is not None and newest.status in IN_FLIGHT_RUN_STATUSES:
            return Standing(Kind.COMING, f"{pipeline.name} is {newest.status}", newest)
        key = self.inputs.key(pipeline, scope, newest)
        if isinstance(key, Standing):
            return self._without_inputs(newest, key)
        if newest is not None and newest.status in OPEN_RUN_STATUSES:
            if newest.inputs_key == key:
                return Standing(Kind.COMING, f"{pipeline.name} is {newest.status}", newest)
            return self._withdraw(newest, "its inputs changed before it started")
        if newest is not None and not newest.superseded and covers(newest, key):
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

    def _propose(self, pipeline: Pipeline, scope: Scope, key: str, newest: RunRecord | None) -> Standing:
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

    def _readers(self, pipeline: Pipeline, scope: Scope) -> list[RunRecord]:
        """Open downstream runs that read what this scope's run would replace."""
        names = {later.name for later in self.registry.downstream_of(pipeline.name)}
        return [
            run
            for run in self.open_by_subject.get(scope.subject_id, ())
            if run.pipeline in names and (scope.session_id is None or run.session_id in (None, scope.session_id))
        ]
