"""Make up the database of a site that has worked for two years, for measurements and for looking at screens.

Everything in it is invented, and follows from the seed: subjects of one to three sessions, four pipelines, failures of
several kinds, retries with more memory, runs that were asked for again, jobs in flight. There are no images on disk.

Run: python benchmarks/years.py FOLDER [SESSIONS [SEED]]
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from neuroflow.config import NeuroflowConfig
from neuroflow.core.database import Database
from neuroflow.domain import (
    AttemptStatus,
    FailureClass,
    Level,
    Resources,
    RunStatus,
    Series,
    SessionStatus,
    WorkflowStatus,
)
from neuroflow.models import AttemptRow, AuditRow, ImageRow, RunRow, ServiceValueRow, SessionRow, SubjectRow
from neuroflow.models.services import WorkflowRunRow
from neuroflow.orchestrator.signature import sign

YEARS = timedelta(days=730)
BURST, BURST_TIME = 0.07, timedelta(days=2)
CHUNK = 5000
TABLES = (SubjectRow, SessionRow, WorkflowRunRow, ImageRow, RunRow, AttemptRow, AuditRow, ServiceValueRow)
FOLDERS = ("dicom_root", "bids_root", "derivatives_root", "work_root", "state_dir")


@dataclass(frozen=True)
class Kind:
    """What a pipeline's attempts are like: its request, its use (medians), and its releases in order of time."""

    name: str
    level: Level
    request: Resources
    hours: float
    memory_mb: float
    cores: float  # used on average
    releases: tuple[str, ...]
    failing: float  # the share of runs that end in failure
    error: str

    @property
    def is_in_container(self) -> bool:
        return self.name != "bids_conversion"


KINDS = (
    Kind(
        "bids_conversion",
        Level.SESSION,
        Resources(2, 8_000, 120),
        0.1,
        900,
        1.0,
        ("1.3.4",),
        0.01,
        "exit code 1: ValueError: no series of {scope} matches the heuristic",
    ),
    Kind(
        "qsiprep",
        Level.SUBJECT,
        Resources(8, 40_000, 24 * 60),
        7.0,
        17_000,
        3.1,
        ("1.0.1", "26.1.1"),
        0.03,
        "exit code 1: RuntimeError: eddy: only 4 volumes of {scope} are usable",
    ),
    Kind(
        "qsirecon",
        Level.SESSION,
        Resources(8, 32_000, 12 * 60),
        1.5,
        9_000,
        5.2,
        ("1.1.1",),
        0.015,
        "exit code 1: mrtrix3 dwi2response failed: singular matrix in {scope}",
    ),
    Kind(
        "qsiparc",
        Level.SESSION,
        Resources(2, 8_000, 120),
        0.05,
        1_200,
        0.9,
        ("0.1.2",),
        0.002,
        "exit code 0, but no output",
    ),
)


@dataclass
class Years:
    """The rows of two years, made in the order of time."""

    sessions: int
    now: datetime
    seed: int = 1
    rows: dict[type, list[dict[str, Any]]] = field(default_factory=lambda: {table: [] for table in TABLES})
    ids: dict[type, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)  # noqa: S311  # invented numbers, no secrets

    def make(self) -> Iterator[None]:
        """Make everything; after each step there may be rows to be taken."""
        self.add(
            WorkflowRunRow,
            status=WorkflowStatus.COMPLETED,
            stages_completed=("discovery", *(kind.name for kind in KINDS)),
            tasks_queued=self.sessions,
            error=None,
            created_at=self.now - timedelta(hours=20),
            ended_at=self.now - timedelta(hours=19),
        )
        for kind in KINDS:
            for release in kind.releases if kind.is_in_container else ():
                self.add_image(kind, release)
        made = 0
        while made < self.sessions:
            count = min(self.dice.choices((1, 2, 3), (70, 22, 8))[0], self.sessions - made)
            self.subject([self.arrival((made + number + 1) / self.sessions) for number in range(count)])
            made += count
            yield
        self.add_poll()
        yield

    def arrival(self, share: float) -> datetime:
        """Return when the session at this share of all came: the last in a burst, so that some are under way."""
        late = 1 - BURST
        return self.now - (
            YEARS * (1 - share / late) + BURST_TIME if share < late else BURST_TIME * (1 - share) / BURST
        )

    def add(self, table: type, **values: Any) -> int:
        """Keep a row, and return its id."""
        number = self.ids[table] = self.ids.get(table, 0) + 1
        self.rows[table].append({"id": number, **values} if table is not ServiceValueRow else values)
        return number

    def add_image(self, kind: Kind, release: str) -> None:
        """Add the image of a release."""
        self.add(
            ImageRow,
            name=image_path(kind, release),
            stamp=f"{len(release)}:{release}",
            identity=f"{self.dice.getrandbits(128):032x}",
            size=4 * 1024**3,
            digest=f"sha256:{self.dice.getrandbits(256):064x}",
            tool_version=release,
            first_seen_at=self.now - YEARS,
            accepted_at=None,
        )

    def subject(self, arrivals: list[datetime]) -> None:
        """Make a subject, its sessions, and all that was run for them."""
        label = f"{self.ids.get(SubjectRow, 0) + 1:06}"
        subject = self.add(SubjectRow, label=label, created_at=arrivals[0])
        sessions = [
            self.session(subject, f"sub-{label}/ses-{name}", at)
            for name, at in zip(("baseline", "month12", "month24"), arrivals, strict=False)
        ]
        ready = [one for one in sessions if one.status is SessionStatus.READY]
        conversions = [self.run(KINDS[0], one, f"dicom:{one.fingerprint}", one.at) for one in ready]
        done = [(one, run) for one, run in zip(ready, conversions, strict=True) if run.ended_at is not None]
        converted = [(one, run) for one, run in done if run.completed]
        if not converted or len(done) < len(conversions) or (len(ready) < len(sessions) and sessions[-1].is_settling):
            return
        key = "bids_conversion:" + ",".join(str(run.id) for _, run in converted)
        scope = Scope(subject, f"sub-{label}", None, converted[-1][1].ended_at or self.now)
        prepared = self.run(KINDS[1], scope, key, scope.at)
        for one, _ in converted:
            if prepared.completed and prepared.ended_at is not None:
                recon = self.run(KINDS[2], one, f"qsiprep:{prepared.id}", prepared.ended_at)
                if recon.completed and recon.ended_at is not None:
                    self.run(KINDS[3], one, f"qsirecon:{recon.id}", recon.ended_at)

    def session(self, subject: int, scope: str, at: datetime) -> Scope:
        """Make a session."""
        draw = self.dice.random()
        status, reason = SessionStatus.READY, "complete"
        if at > self.now - timedelta(hours=1):
            status, reason = SessionStatus.SETTLING, "its files have not been quiet for 30 minutes"
        elif draw < 0.01:
            status, reason = SessionStatus.INVALID, "required scan missing: dwi"
        elif draw < 0.013:
            status, reason = SessionStatus.EXCLUDED, "moved too much"
        fingerprint = f"{self.dice.getrandbits(160):040x}"
        number = self.add(
            SessionRow,
            subject_id=subject,
            label=scope.rpartition("ses-")[2],
            path=f"/dicom/{scope}",
            status=status,
            status_reason=reason,
            fingerprint=fingerprint,
            fingerprint_since=at,
            files=1340,
            bytes=710_000_000,
            newest_mtime=at.timestamp(),
            series=(Series(f"1.2.3.{subject}", 5, "dwi_ap", "DTI", "MR", 1000, 1000, True),),
            problems=("no series matches 'dwi' (required scan dwi)",) if status is SessionStatus.INVALID else (),
            created_at=at,
            updated_at=at,
        )
        return Scope(subject, scope, number, at, status, fingerprint)

    def run(self, kind: Kind, scope: Scope, key: str, since: datetime) -> Ran:
        """Make a run, now and then one that is asked for again after it."""
        ran = self.one_run(kind, scope, key, since)
        if ran.completed and ran.ended_at is not None and self.dice.random() < 0.01:
            self.rows[RunRow][-1].update(superseded=True, is_newest=False)
            return self.one_run(kind, scope, key, ran.ended_at + timedelta(days=3), "asked for again")
        return ran

    def one_run(self, kind: Kind, scope: Scope, key: str, since: datetime, why: str = "first run") -> Ran:
        """Make a run and its attempts, as far as time has gone."""
        opened = since + timedelta(minutes=self.dice.randint(1, 60))
        if opened > self.now:
            return Ran(0, False, None)
        release = kind.releases[-1 if opened > self.now - YEARS / 3 else 0]
        values: dict[str, Any] = {
            "status": RunStatus.PENDING,
            "reason": why,
            "attempts": 0,
            "failure": None,
            "error_message": "",
            "signature": "",
            "started_at": None,
            "ended_at": None,
            "updated_at": opened,
            "metrics": {},
        }
        run = self.ids.get(RunRow, 0) + 1
        self.audit(run, opened, None, "pending", why)
        self.attempts(kind, scope, run, opened, release, values)
        self.add(
            RunRow,
            pipeline=kind.name,
            level=kind.level,
            scope=scope.name,
            subject_id=scope.subject,
            session_id=scope.session,
            inputs_key=key,
            superseded=False,
            is_newest=True,
            output_path=f"/data/derivatives/{kind.name}" if values["status"] is RunStatus.COMPLETED else None,
            next_attempt_at=None,
            resources=None,
            exclude_nodes=(),
            workflow_run_id=1,
            resolution="",
            created_at=opened,
            **values,
        )
        return Ran(run, values["status"] is RunStatus.COMPLETED, values["ended_at"])

    def attempts(self, kind: Kind, scope: Scope, run: int, at: datetime, release: str, values: dict[str, Any]) -> None:
        """Make a run's attempts, and set what they make of it."""
        fails, request = self.dice.random() < kind.failing, kind.request
        needs = min(kind.memory_mb * self.dice.lognormvariate(0, 0.35), 2.5 * request.memory_mb)
        for number in (1, 2, 3):
            last = self.attempt(kind, scope, Try(run, number, at, request, needs, fails, release))
            values.update(
                status=last.status,
                attempts=number,
                reason=last.message,
                updated_at=last.moved_at,
                started_at=values["started_at"] or last.started_at,
            )
            if last.status is RunStatus.COMPLETED:
                values.update(ended_at=last.ended_at, metrics={"restarts": 0, "max_rss_mb": round(last.memory_mb, 1)})
            if last.failure is None or last.ended_at is None:
                return
            values.update(failure=last.failure, error_message=last.message, signature=last.signature)
            at = last.ended_at + timedelta(minutes=5 * 2**number)
            if last.failure is FailureClass.OUT_OF_MEMORY:
                request = Resources(request.cpus, int(request.memory_mb * 1.5), request.time_minutes)
            if number == 3:
                values.update(ended_at=last.ended_at)
                self.audit(run, last.ended_at, "running", "failed", last.message)
            elif at > self.now:
                values.update(status=RunStatus.RETRY_WAIT)
                return

    def attempt(self, kind: Kind, scope: Scope, tried: Try) -> Ended:
        """Make one attempt."""
        wait = timedelta(hours=self.dice.lognormvariate(0, 1)) if kind.is_in_container else timedelta(seconds=5)
        work = timedelta(hours=kind.hours * self.dice.lognormvariate(0, 0.3))
        short = tried.needs_mb > tried.request.memory_mb
        failure = FailureClass.OUT_OF_MEMORY if short else FailureClass.APPLICATION if tried.fails else None
        work = work / 4 if failure else work
        started, ended = tried.at + wait, tried.at + wait + work
        if started > self.now:
            status, word, message = RunStatus.SUBMITTED, "PENDING", "submitted"
        elif ended > self.now:
            status, word, message = RunStatus.RUNNING, "RUNNING", "the job runs"
        elif failure is None:
            status, word, message = RunStatus.COMPLETED, "COMPLETED", "exit code 0, all declared outputs are there"
        else:
            status, word = RunStatus.FAILED, "OUT_OF_MEMORY" if short else "FAILED"
            message = (
                f"killed for memory at {tried.request.memory_mb} MiB" if short else kind.error.format(scope=scope.name)
            )
        over = ended <= self.now
        signature = sign(kind.name, failure, message, names=scope.name.split("/")).code if over and failure else ""
        memory = min(tried.needs_mb, tried.request.memory_mb)
        token = f"nf-{kind.name}-{tried.run}-{self.dice.getrandbits(48):012x}"
        row = self.add(
            AttemptRow,
            run_id=tried.run,
            number=tried.number,
            token=token,
            status=ATTEMPT_STATUS[status],
            where="slurm" if kind.is_in_container else "worker",
            folder=f"/shared/neuroflow/state/attempts/{token}",
            job_id=str(100_000 + self.ids.get(AttemptRow, 0)),
            job_word=word,
            job_reason="SLURM: PENDING (Priority)" if status is RunStatus.SUBMITTED else "",
            resources=tried.request,
            counted=True,
            failure=failure if over else None,
            message=message,
            exit_code=(1 if failure else 0) if over else None,
            signal=None,
            host=f"n{self.dice.randint(1, 120)}" if started <= self.now else "",
            max_rss_mb=round(memory, 1) if over else None,
            image=image_path(kind, tried.release) if kind.is_in_container else None,
            created_at=tried.at,
            submitted_at=tried.at,
            started_at=started if started <= self.now else None,
            ended_at=ended if over else None,
            last_seen_at=min(ended, self.now),
            array_token=None,
            array_index=None,
            signature=signature,
            image_record_id=None,
            image_version=tried.release,
            node_image="",
            cpu_seconds=round(kind.cores * (0.8 + 0.4 * (tried.run % 97) / 97) * work.total_seconds(), 1)
            if over
            else None,
            elapsed_seconds=work.total_seconds() if over else None,
        )
        self.audit(tried.run, tried.at, "pending", "submitted", f"submitted as job {100_000 + row - 1}")
        if over and failure is None:
            self.audit(tried.run, ended, "running", "completed", message)
        return Ended(
            status, message, started if started <= self.now else None, ended if over else None,
            failure if over else None, signature, memory, min(ended, self.now),
        )  # fmt: skip

    def audit(self, run: int, at: datetime, before: str | None, after: str, reason: str) -> None:
        """Add a row of a run's history."""
        event = f"run.{'opened' if before is None else after}"
        self.add(
            AuditRow,
            at=at,
            actor="neuroflow",
            event=event,
            entity="run",
            entity_id=run,
            before=before,
            after=after,
            reason=reason,
            details={},
        )

    def add_poll(self) -> None:
        """Leave what the last look at the jobs leaves."""
        at = self.now.timestamp()
        value = {"looked_at": 1, "running": 1, "unknown": 0, "at": at, "complete_at": at, "errors": []}
        value |= {"interval_seconds": 60.0, "next_at": at + 60, "newest_attempt": self.ids.get(AttemptRow, 0)}
        self.add(ServiceValueRow, key="poll", value=value, updated_at=self.now)


@dataclass(frozen=True)
class Scope:
    """A subject or session, and since when something can be done for it."""

    subject: int
    name: str
    session: int | None
    at: datetime
    status: SessionStatus = SessionStatus.READY
    fingerprint: str = ""

    @property
    def is_settling(self) -> bool:
        return self.status is SessionStatus.SETTLING


@dataclass(frozen=True)
class Ran:
    """What a run came to; `ended_at` is None while it goes on."""

    id: int
    completed: bool
    ended_at: datetime | None


@dataclass(frozen=True)
class Try:
    """What an attempt is given."""

    run: int
    number: int
    at: datetime
    request: Resources
    needs_mb: float
    fails: bool
    release: str


@dataclass(frozen=True)
class Ended:
    """What an attempt came to."""

    status: RunStatus
    message: str
    started_at: datetime | None
    ended_at: datetime | None
    failure: FailureClass | None
    signature: str
    memory_mb: float
    moved_at: datetime


ATTEMPT_STATUS = {
    RunStatus.SUBMITTED: AttemptStatus.SUBMITTED,
    RunStatus.RUNNING: AttemptStatus.RUNNING,
    RunStatus.COMPLETED: AttemptStatus.SUCCEEDED,
    RunStatus.FAILED: AttemptStatus.FAILED,
}


def image_path(kind: Kind, release: str) -> str:
    """Return where an image would lie."""
    return f"/shared/images/{kind.name}-{release}.sif"


def fill(database: Database, *, sessions: int, seed: int = 1, now: datetime | None = None) -> dict[str, int]:
    """Fill an empty database, and return how many rows each table got."""
    years = Years(sessions, now or datetime.now(UTC).replace(microsecond=0), seed)
    with database.write() as session:
        for _ in years.make():
            if len(years.rows[AuditRow]) >= CHUNK:
                take(years, session)
        take(years, session)
    return {table.__tablename__: years.ids.get(table, 0) for table in TABLES}


def take(years: Years, session: Any) -> None:
    """Write the rows that were made, and forget them."""
    for table, rows in years.rows.items():
        if rows:
            # Without `render_nulls`, rows that lack other values each get a statement of their own.
            session.execute(insert(table).execution_options(render_nulls=True), rows)
            rows.clear()


def make_site(root: Path, *, sessions: int, seed: int = 1) -> dict[str, int]:
    """Make a folder with a configuration and a filled database."""
    root.mkdir(parents=True, exist_ok=True)
    paths = "".join(f"  {name}: {name.removesuffix('_root').removesuffix('_dir')}\n" for name in FOLDERS)
    for name in FOLDERS:
        (root / name.removesuffix("_root").removesuffix("_dir")).mkdir(exist_ok=True)
    file = root / "neuroflow.yaml"
    file.write_text(f"# Made up by benchmarks/years.py: nothing here was measured.\npaths:\n{paths}", encoding="utf-8")
    database = Database.from_config(NeuroflowConfig.find_and_load(file))
    try:
        database.upgrade()
        return fill(database, sessions=sessions, seed=seed)
    finally:
        database.close()


def main() -> None:
    """Make a site in the folder that the command line names."""
    root = Path(sys.argv[1])
    if (root / "neuroflow.yaml").exists():
        sys.exit(f"there is a configuration in {root} already: name another folder")
    counts = make_site(
        root,
        sessions=int(sys.argv[2]) if len(sys.argv) > 2 else 300,
        seed=int(sys.argv[3]) if len(sys.argv) > 3 else 1,
    )
    print(f"{root}: " + ", ".join(f"{count} {name}" for name, count in counts.items()))


if __name__ == "__main__":
    main()
