"""Which inputs a pipeline's run should be over, as a key: what is upstream says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from neuroflow.domain import Level, RunRecord, RunStatus, SessionRecord, SessionStatus
from neuroflow.domain.overview import WaitKind
from neuroflow.orchestrator.registry import Pipeline, Registry
from neuroflow.orchestrator.standing import Kind, Place, Scope, Standing, is_done


@dataclass(frozen=True)
class WantedInputs:
    """The inputs that runs should be over, worked out pipeline by pipeline, upstream first."""

    registry: Registry
    sessions: Mapping[int, Sequence[SessionRecord]]  # by their subject's id
    standings: Mapping[Place, Standing]  # of what is upstream

    def key(self, pipeline: Pipeline, scope: Scope, newest: RunRecord | None) -> str | Standing:
        """Return the key of the inputs that a scope's run should be over, or how the scope stands without one."""
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

    def _source_key(self, scope: Scope) -> str | Standing:
        if scope.session is not None:
            return f"dicom:{scope.session.fingerprint}"
        ready = [item for item in self.sessions[scope.subject_id] if item.status is SessionStatus.READY]
        return (
            "dicom:" + "+".join(item.fingerprint for item in ready)
            if ready
            else Standing(Kind.ABSENT, "no session is ready")
        )

    def _gathered(self, upstream: Pipeline, scope: Scope, newest: RunRecord | None) -> str | Standing:
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
        if settling and not (ids and is_done(newest) and covers(newest, key)):
            reason = f"waits for {', '.join(settling)}, whose files still arrive"
            about = "waits for sessions whose files still arrive"
            return Standing(Kind.COMING, reason, waits_for=WaitKind.SETTLING, about=about, upon=upon)
        if not ids:
            return Standing(Kind.ABSENT, f"no session has passed {upstream.name}", upon=upon)
        return key

    def _inherited(self, upstream: Pipeline, scope: Scope) -> str | Standing:
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
        if scope.session is not None and not self.was_part(upstream, standing.run, scope.session):
            sources = tuple((source, scope.session.scope) for source in self._sources(upstream))
            about = f"the session was not part of the run of {upstream.name}"
            reason = f"the session was not part of {upstream.name} run {standing.run.id}"
            return Standing(Kind.ABSENT, reason, about=about, upon=sources)
        return f"{upstream.name}:{standing.run.id}"

    def was_part(self, upstream: Pipeline, run: RunRecord, session: SessionRecord) -> bool:
        """Tell whether a pipeline's run was made of the present runs of a session."""
        if upstream.level is not Level.SUBJECT:
            return True
        ids = input_ids(run.inputs_key)
        runs = [self.standings[name, session.scope].run for name in self._sources(upstream)]
        return all(source is not None and f"{source.pipeline}:{source.id}" in ids for source in runs)

    def _sources(self, upstream: Pipeline) -> list[str]:
        """Return the pipelines whose runs of single sessions a subject's run is made of."""
        return [name for name in upstream.depends_on if self.registry.get(name).level is Level.SESSION]


def covers(run: RunRecord, key: str) -> bool:
    """Tell whether a run's inputs are the wanted ones.

    A completed run over more sessions than are wanted now stays current: excluding a session takes nothing
    from the results of the others, and a subject's preprocessing costs hundreds of core-hours.
    """
    if run.inputs_key == key:
        return True
    had, wanted = input_ids(run.inputs_key), input_ids(key)
    return run.status is RunStatus.COMPLETED and bool(wanted) and wanted < had


def input_ids(key: str) -> frozenset[str]:
    """Split an inputs key such as `bids_conversion:3,7` into `{bids_conversion:3, bids_conversion:7}`."""
    found = set()
    for part in key.split(";"):
        name, _, ids = part.partition(":")
        if name != "dicom":
            found |= {f"{name}:{one}" for one in ids.split(",") if one}
    return frozenset(found)


def _waits_for(upstream: Pipeline, scopes: Sequence[str]) -> Standing:
    upon = tuple((upstream.name, scope) for scope in scopes)
    reason = f"waits for {upstream.name} of {scopes[0]}"
    return Standing(Kind.COMING, reason, about=f"waits for {upstream.name}", upon=upon)


def _blocked_by(upstream: Pipeline, standing: Standing) -> str:
    """Say in words that fit every scope why what an upstream pipeline left can't be worked on."""
    if standing.run is not None:
        return f"{upstream.name} {standing.run.status}"
    return standing.about or standing.reason
