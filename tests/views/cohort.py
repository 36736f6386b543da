"""A small installation at a moment that stands still: its runs are opened by the scheduler, and end as a test says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar, cast

from neuroflow.cluster.base import Cluster
from neuroflow.cluster.folders import LocalFolders
from neuroflow.core.state import SeenAttempt, StateManager
from neuroflow.domain import (
    AttemptRecord,
    FailureClass,
    JobState,
    QueueRow,
    Resources,
    RetryDecision,
    RunRecord,
    RunStatus,
    SessionRecord,
    Verdict,
    VerdictKind,
)
from neuroflow.errors import CommandError
from neuroflow.orchestrator.rounds import POLL_KEY
from neuroflow.orchestrator.scheduler import plan_runs
from neuroflow.orchestrator.services import Services
from neuroflow.views.why import Question, why
from neuroflow.views.why_answer import PlaceAnswer, Why
from tests.support.states import SUCCESS, found

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FAILED = Verdict(VerdictKind.FAILED, "exit code 1: boom", failure=FailureClass.APPLICATION, exit_code=1, host="n1")
SIGNATURE = "aaaaaaaaa1"


@dataclass
class FakeSlurm:
    """A cluster that lists the jobs that a test says, and counts how often it was asked."""

    rows: dict[str, QueueRow] = field(default_factory=dict)
    asked: int = 0
    is_silent: bool = False
    folders: ClassVar = LocalFolders()

    def jobs(self, attempts: Sequence[AttemptRecord]) -> dict[str, QueueRow]:
        self.asked += 1
        if self.is_silent:
            raise CommandError("squeue did not answer", command=("squeue",), exit_code=None)
        return {one.token: self.rows[one.token] for one in attempts if one.token in self.rows}


class Cohort:
    """Subjects of one installation on SLURM."""

    def __init__(self, services: Services, folder: Path) -> None:
        self.now = NOW
        self.slurm = FakeSlurm()
        self.folder = folder
        self.state = StateManager(services.database, clock=lambda: self.now)
        clusters = {**services.clusters, "slurm": cast("Cluster", self.slurm)}
        self.services = replace(services, state=self.state, clusters=clusters, clock=lambda: self.now)
        self.polled()

    def polled(self) -> None:
        """Note a poll just now."""
        at = self.now.timestamp()
        value = {"at": at, "next_at": at + 60, "interval_seconds": 60.0, "errors": []}
        self.state.set_value(POLL_KEY, value)

    def configure(self, **changes: object) -> None:
        """Change every pipeline."""
        registry = type(self.services.registry)(
            [replace(pipeline, **changes) for pipeline in self.services.registry]  # type: ignore[arg-type]
        )
        self.services = replace(self.services, registry=registry)

    def session(
        self,
        subject: str = "01",
        label: str = "a",
        *,
        settle_minutes: float = 0,
        missing: tuple[str, ...] = (),
        problems: tuple[str, ...] = (),
        files: int = 12,
    ) -> SessionRecord:
        """Let a scan find a session."""
        folder = self.folder_of(subject, label)
        folder.mkdir(parents=True, exist_ok=True)
        seen = found(subject, label, path=str(folder), fingerprint=f"f{files}", missing=missing, problems=problems)
        self.state.record_scan([replace(seen, files=files)], settle_minutes=settle_minutes)
        record = self.state.find_session(subject, label)
        assert record is not None
        return record

    def folder_of(self, subject: str = "01", label: str = "a") -> Path:
        """Return a session's DICOM folder."""
        return self.folder / "dicom" / subject / label

    def open_due(self) -> list[RunRecord]:
        """Open the runs that the scheduler wants."""
        opened = [
            self.state.open_run(one) for one in plan_runs(self.state.snapshot(), self.services.registry).proposals
        ]
        return [run for run in opened if run is not None]

    def open_only(self) -> RunRecord:
        """Open the one run that is due."""
        (run,) = self.open_due()
        return run

    def claim(self, run: RunRecord, *, memory_mb: int = 4000) -> AttemptRecord:
        """Begin an attempt."""
        token = f"t{run.id}-{len(self.state.attempts_of(run.id)) + 1}"
        attempt = self.state.claim_run(
            run.id,
            token=token,
            where="slurm",
            folder=str(self.folder / token),
            resources=Resources(cpus=2, memory_mb=memory_mb, time_minutes=60),
            image=None,
            limit=99,
        )
        assert attempt is not None
        return attempt

    def submit(self, run: RunRecord, *, memory_mb: int = 4000) -> AttemptRecord:
        """Submit an attempt as job 47 and something."""
        attempt = self.claim(run, memory_mb=memory_mb)
        self.state.record_submitted(attempt.id, f"47{attempt.id}")
        return self.state.get_attempt(attempt.id)

    def start(self, run: RunRecord, *, memory_mb: int = 4000) -> AttemptRecord:
        """Submit an attempt whose job is seen to run."""
        attempt = self.submit(run, memory_mb=memory_mb)
        seen = SeenAttempt(attempt.id, word="RUNNING", reason="SLURM: RUNNING", running=True, seen=True, host="n7")
        self.state.record_sightings([seen])
        return self.state.get_attempt(attempt.id)

    def complete(self, run: RunRecord) -> None:
        """Take a run to its end, an hour later."""
        attempt = self.start(run)
        self.now += timedelta(hours=1)
        assert self.state.record_verdict(attempt.id, SUCCESS, None, None)
        self.polled()

    def fail(self, run: RunRecord, *, memory_mb: int = 4000, verdict: Verdict = FAILED) -> AttemptRecord:
        """Let a run fail for good."""
        attempt = self.start(run, memory_mb=memory_mb)
        decision = RetryDecision(RunStatus.FAILED, f"given up: {verdict.reason}", counted=True)
        assert self.state.record_verdict(attempt.id, verdict, decision, None, signature=SIGNATURE)
        return self.state.get_attempt(attempt.id)

    def fail_once(self, run: RunRecord, *, minutes: float, verdict: Verdict = FAILED) -> AttemptRecord:
        """Let an attempt fail; the next one is due in so many minutes, with half as much memory again."""
        attempt = self.start(run)
        more = replace(attempt.resources, memory_mb=6000)
        due = self.now + timedelta(minutes=minutes)
        decision = RetryDecision(RunStatus.RETRY_WAIT, "again", counted=True, next_attempt_at=due, resources=more)
        assert self.state.record_verdict(attempt.id, verdict, decision, None, signature=SIGNATURE)
        return self.state.get_attempt(attempt.id)

    def listed(self, attempt: AttemptRecord, reason: str, *, start: str = "", word: str = "PENDING") -> None:
        """Let squeue list a job."""
        state = JobState.PENDING if word == "PENDING" else JobState.RUNNING if word == "RUNNING" else JobState.FAILED
        row = QueueRow(attempt.job_id or "", attempt.token, state, word, reason=reason, start=start)
        self.slurm.rows[attempt.token] = row

    def ask(
        self,
        subject: str = "01",
        session: SessionRecord | None = None,
        *,
        run: RunRecord | None = None,
        ask_slurm: bool = True,
        up: bool | None = None,
    ) -> Why:
        """Ask why."""
        record = self.state.get_subject(subject)
        return why(self.services, Question(record, session, run=run, ask_slurm=ask_slurm, up=up))

    def place(self, pipeline: str = "bids_conversion", scope: str = "sub-01/ses-a", **asked: bool) -> PlaceAnswer:
        """Ask of one place."""
        answers = {(one.pipeline, one.scope): one for one in self.ask(**asked).pipelines}  # type: ignore[arg-type]
        return answers[pipeline, scope]
