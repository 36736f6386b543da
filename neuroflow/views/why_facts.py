"""What `neuroflow why` reads, once: one subject's part of the database, and what SLURM says of its waiting jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from neuroflow.discovery.lost import is_gone
from neuroflow.domain import (
    AttemptRecord,
    AttemptStatus,
    PipelineHold,
    QueueRow,
    RunRecord,
    SessionRecord,
    Snapshot,
    SubjectRecord,
)
from neuroflow.errors import NeuroflowError
from neuroflow.orchestrator.admission import Admission
from neuroflow.orchestrator.keys import SLURM_BUDGET
from neuroflow.orchestrator.scheduler import standings
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.site import admission
from neuroflow.orchestrator.standing import Place, Standing
from neuroflow.views.why_answer import Life

_AUDIT_ROWS = 100


@dataclass(frozen=True)
class Hold:
    """Why a pipeline is held, since when, and by whom."""

    hold: PipelineHold
    actor: str  # `neuroflow` where it held the pipeline itself


@dataclass(frozen=True)
class Facts:
    """One subject, and what its runs may wait for."""

    services: Services
    subject: SubjectRecord
    snapshot: Snapshot
    standings: Mapping[Place, Standing]
    runs: Mapping[int, RunRecord]  # whole, of the standings
    attempts: Mapping[int, list[AttemptRecord]]
    rows: Mapping[str, QueueRow]  # of squeue, by token, asked just now
    life: Life
    notes: list[str] = field(default_factory=list)

    @cached_property
    def admission(self) -> Admission | None:
        """What the site takes now."""
        return admission(self.services)

    @cached_property
    def sessions(self) -> dict[str, SessionRecord]:
        """The subject's sessions by scope."""
        ordered = sorted(self.snapshot.sessions, key=lambda session: session.label)
        return {session.scope: session for session in ordered}

    @cached_property
    def gone_folders(self) -> Mapping[str, str]:
        """The folders that are not there just now, by the scope of their session; behind SSH nobody looks."""
        if self.services.config.cluster.is_remote:
            return {}
        return {one.scope: one.path for one in self.sessions.values() if one.path and is_gone(Path(one.path))}

    def files_by_fingerprint(self, session: SessionRecord) -> dict[str, int]:
        """Return how many files a session had, as scans saw it."""
        found = {}
        for entry in self.services.state.list_audit(entity="session", entity_id=session.id, limit=_AUDIT_ROWS):
            fingerprint, files = entry.details.get("fingerprint"), entry.details.get("files")
            if isinstance(fingerprint, str) and isinstance(files, int):
                found[fingerprint] = files
        return found

    @cached_property
    def holds(self) -> dict[str, Hold]:
        """The pipelines that are held."""
        state = self.services.state
        held = {name: state.pipeline_hold(name) for name in self.services.registry.names()}
        found = {name: hold for name, hold in held.items() if hold is not None and hold.held}
        actors: dict[str, str] = {}
        if found:
            for entry in state.list_audit(entity="pipeline", limit=_AUDIT_ROWS):
                if entry.event == "pipeline.held" and entry.after is not None:
                    actors[entry.after] = entry.actor
        return {name: Hold(hold, actors.get(name, "")) for name, hold in found.items()}

    def latest(self, run: RunRecord) -> AttemptRecord | None:
        """Return a run's last attempt."""
        return next(reversed(self.attempts.get(run.id) or []), None)


def read_facts(services: Services, subject: SubjectRecord, *, life: Life, ask_slurm: bool) -> Facts:
    """Read what there is of one subject."""
    snapshot = services.state.snapshot_of([subject.id])
    found = standings(snapshot, services.registry)
    ids = [standing.run.id for standing in found.values() if standing.run is not None]
    attempts = services.state.attempts_of_all(ids)
    notes: list[str] = []
    rows = _waiting_jobs(services, attempts, notes) if ask_slurm else {}
    return Facts(
        services=services,
        subject=subject,
        snapshot=snapshot,
        standings=found,
        runs=services.state.get_runs(ids),
        attempts=attempts,
        rows=rows,
        life=life,
        notes=notes,
    )


def _waiting_jobs(
    services: Services, attempts: Mapping[int, list[AttemptRecord]], notes: list[str]
) -> Mapping[str, QueueRow]:
    """Ask SLURM for the jobs that waited when it was asked last; nothing where it can't be asked at once."""
    waiting = [
        one
        for tried in attempts.values()
        for one in tried[-1:]
        if one.where == "slurm" and one.status is AttemptStatus.SUBMITTED
    ]
    if not waiting or "slurm" not in services.clusters:
        return {}
    try:
        if services.state.calls_left(SLURM_BUDGET, per_minute=services.config.cluster.calls_per_minute) < 1:
            notes.append("SLURM was not asked: this installation's budget of calls is used up for now")
            return {}
        return services.clusters["slurm"].jobs(waiting)
    except NeuroflowError as error:
        notes.append(f"SLURM was asked, and did not answer ({error}): what is said of jobs is what the last poll saw")
        return {}
