"""What should run: a pure choice from a snapshot of the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto

from neuroflow.config.sections import Celery
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
from neuroflow.orchestrator.admission import Admission
from neuroflow.orchestrator.registry import Pipeline, Registry

# A hint that got lost with Redis is sent again after this long; a second hint costs nothing.
HINT_LIFETIME = timedelta(seconds=Celery().hint_lifetime)
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


@dataclass(frozen=True)
class Choice:
    """Open runs that may be dispatched now, in order, and those that may not."""

    run_ids: tuple[int, ...]
    waits: tuple[Wait, ...]


def plan_runs(snapshot: Snapshot, registry: Registry) -> Plan:
    """Compare what exists with what should exist, for every pipeline and scope."""
    return _Planner(snapshot, registry).plan()


def choose_dispatch(
    snapshot: Snapshot,
    registry: Registry,
    *,
    holds: Mapping[str, str],
    hint_lifetime: timedelta = HINT_LIFETIME,
    admission: Admission | None = None,
) -> Choice:
    """Pick the open runs to dispatch, oldest first, within `workflow.max_concurrent` and what the site takes.

    Args:
        holds: pipelines that are paused, with the reason.
        hint_lifetime: how long a queued run's task may lie there before it counts as lost.
        admission: what the site takes now; None: everything.
    """
    by_pipeline: dict[str, list[RunRecord]] = defaultdict(list)
    for run in snapshot.runs:
        if run.status in OPEN_RUN_STATUSES:
            by_pipeline[run.pipeline].append(run)
    chosen: list[int] = []
    waits: list[Wait] = []
    gate = _Gate(admission)
    for pipeline in registry:
        runs = sorted(by_pipeline[pipeline.name], key=lambda run: run.id)
        if pipeline.name in holds:
            waits += [
                _wait(run, f"{pipeline.name} is held: {holds[pipeline.name]}")
                for run in runs
                if run.status in WITHDRAWABLE
            ]
            continue
        picked, held = _within_limit(runs, pipeline, now=snapshot.now, hint_lifetime=hint_lifetime)
        taken, refused = gate.pass_through([run for run in runs if run.id in set(picked)], pipeline)
        chosen += taken
        waits += [*held, *refused]
    return Choice(tuple(chosen), tuple(waits))


@dataclass
class _Gate:
    """What the site takes, counted over all pipelines: their jobs stand in one queue."""

    admission: Admission | None
    used: int = 0

    def pass_through(self, runs: list[RunRecord], pipeline: Pipeline) -> tuple[list[int], list[Wait]]:
        """Return the runs that the site would take, and why not the others."""
        if self.admission is None:
            return [run.id for run in runs], []
        taken, waits = [], []
        room = self.admission.room(pipeline)
        for run in runs:
            reason = self.admission.maintenance_wait(run, pipeline)
            if reason is None and room is not None and self.used >= room[0]:
                reason = f"the site takes no more jobs at present: {room[1]}"
            if reason is not None:
                waits.append(_wait(run, reason))
                continue
            taken.append(run.id)
            self.used += room is not None
        return taken, waits


def _within_limit(
    runs: list[RunRecord], pipeline: Pipeline, *, now: datetime, hint_lifetime: timedelta
) -> tuple[list[int], list[Wait]]:
    in_flight = sum(run.status in IN_FLIGHT_RUN_STATUSES for run in runs)
    queued = [run for run in runs if run.status is RunStatus.QUEUED]
    free = pipeline.max_concurrent - in_flight - len(queued)
    picked = [run.id for run in queued if now - run.updated_at >= hint_lifetime]
    waits = []
    for run in runs:
        if run.status not in (RunStatus.PENDING, RunStatus.RETRY_WAIT):
            continue
        if run.status is RunStatus.RETRY_WAIT and run.next_attempt_at and run.next_attempt_at > now:
            waits.append(_wait(run, f"next attempt at {run.next_attempt_at:%Y-%m-%d %H:%M} UTC ({run.reason})"))
        elif free > 0:
            picked.append(run.id)
            free -= 1
        else:
            waits.append(_wait(run, f"workflow.max_concurrent.{pipeline.name} is {pipeline.max_concurrent}"))
    return picked, waits


def _wait(run: RunRecord, reason: str) -> Wait:
    return Wait(run.pipeline, run.scope, reason)


class _Kind(Enum):
    CURRENT = auto()  # completed over the present inputs
    COMING = auto()  # open, proposed, or about to be
    SETTLING = auto()  # its files still arrive
    BLOCKED = auto()  # failed or cancelled over the present inputs
    ABSENT = auto()  # nothing to do: excluded, invalid, or nothing upstream


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
