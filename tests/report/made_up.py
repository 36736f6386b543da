"""A made-up cohort without a database: facts, and the report over them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from neuroflow.domain import AttemptStatus, FailureClass, Resources, RunStatus, SessionStatus
from neuroflow.domain.history import AttemptFact, History, RunFact, SessionFact
from neuroflow.orchestrator.registry import get_registry
from neuroflow.report.cohort import cohort_of
from neuroflow.report.document import document
from neuroflow.report.failures import failure_groups
from neuroflow.report.figures import FigureKind, Figures
from neuroflow.report.flow import flow_of
from neuroflow.report.gather import Report, Wish
from neuroflow.report.judgement import NO_JUDGEMENT, Judgement
from neuroflow.report.payload import payload
from neuroflow.report.provenance import Provenance, ToolUse
from neuroflow.report.usage import usage_of

NOW = datetime(2026, 3, 31, 12, 0, tzinfo=UTC)
SIGNATURE = "3f9a0c12de"
PIPELINES = tuple(get_registry())


@dataclass
class Cohort:
    """Facts, one after the other."""

    sessions: list[SessionFact] = field(default_factory=list)
    runs: list[RunFact] = field(default_factory=list)
    attempts: list[AttemptFact] = field(default_factory=list)
    figures: Figures = field(default_factory=Figures)

    def add_session(self, subject: str, label: str = "01", status: SessionStatus = SessionStatus.READY) -> SessionFact:
        """Add a session, of a subject that is known by its label."""
        known = {one.subject: one.subject_id for one in self.sessions[-50:]}
        number = known.get(subject, len(self.sessions) + 1)
        self.sessions.append(SessionFact(len(self.sessions) + 1, number, subject, label, status, "3 of 4 series"))
        return self.sessions[-1]

    def add_run(
        self, session: SessionFact, pipeline: str, status: RunStatus = RunStatus.COMPLETED, *, error: str = ""
    ) -> RunFact:
        """Add a run with one attempt, which ended unless the run is open."""
        number = len(self.runs) + 1
        failed, ended = status is RunStatus.FAILED, status in (RunStatus.COMPLETED, RunStatus.FAILED)
        start = NOW - timedelta(days=200) + timedelta(hours=number % 4000)
        end = start + timedelta(minutes=30 + number % 90) if ended else None
        self.runs.append(
            RunFact(
                number,
                pipeline,
                session.subject_id,
                None if pipeline == "qsiprep" else session.id,
                status,
                False,
                "",
                1,
                FailureClass.APPLICATION if failed else None,
                SIGNATURE if failed else "",
                "given up" if failed else "exit code 0",
                error,
                None if failed else f"/data/derivatives/{pipeline}",
                end or start,
                start,
                end,
            )
        )
        self.attempts.append(
            AttemptFact(
                len(self.attempts) + 1,
                number,
                1,
                AttemptStatus.FAILED if failed else AttemptStatus.SUCCEEDED if ended else AttemptStatus.RUNNING,
                "slurm",
                f"/state/attempts/nf-{number}",
                str(40_000 + number),
                "n1",
                FailureClass.APPLICATION if failed else None,
                SIGNATURE if failed else "",
                error,
                1 if failed else 0,
                4000.0 + number % 3000,
                Resources(8, 40_000, 720),
                start,
                start,
                end,
                None,
                "26.1.1",
            )
        )
        return self.runs[-1]

    def history(self) -> History:
        """Return the facts."""
        return History(tuple(self.sessions), tuple(self.runs), tuple(self.attempts))


def cohort(count: int, *, error: str = "RuntimeError: eddy found 4 usable volumes") -> Cohort:
    """Make up so many sessions; every seventh failed in qsiprep, every tenth works in qsirecon, the rest is done."""
    made = Cohort()
    kind = FigureKind("qsiparc", "mean_fa", "", "Mean FA over 5 regions")
    values = made.figures.values[kind] = {}
    for number in range(1, count + 1):
        session = made.add_session(f"{number:05}")
        made.add_run(session, "bids_conversion")
        if number % 7 == 0:
            made.add_run(session, "qsiprep", RunStatus.FAILED, error=error)
            continue
        made.add_run(session, "qsiprep")
        if number % 10 == 0:
            made.add_run(session, "qsirecon", RunStatus.RUNNING)
            continue
        made.add_run(session, "qsirecon")
        made.add_run(session, "qsiparc")
        values[number - 1] = 0.9 if number == 3 else 0.45 + number % 17 / 400
    return made


def report(
    made: Cohort,
    *,
    title: str = "Made-up cohort",
    log: tuple[str, ...] = ("ValueError: 4",),
    judgement: Judgement = NO_JUDGEMENT,
) -> Report:
    """Put a report together as `gather` does."""
    history = made.history()
    matrix = cohort_of(history, PIPELINES, judgement=judgement)
    groups = tuple(failure_groups(history, waiting=matrix.waiting(), since=None))
    return Report(
        wish=Wish(title=title, made_by="ada"),
        made_at=NOW,
        cohort=matrix,
        history=history,
        flow=flow_of(history.runs, pipelines=[one.name for one in PIPELINES], since=None),
        usage=tuple(
            usage_of(
                history.attempts,
                pipeline_of={run.id: run.pipeline for run in history.runs},
                pipelines=PIPELINES,
                since=None,
            )
        ),
        groups=groups,
        lines={(one.signature, one.pipeline, one.failure): log for one in groups},
        holds={},
        figures=made.figures,
        provenance=Provenance(
            neuroflow="0.1.0",
            python="3.11.7",
            host="login1",
            database="sqlite:////state/neuroflow.db",
            revision="0005",
            config_files=("/data/neuroflow.yaml",),
            config_digest="92e4f1bc895e",
            settings="paths:\n  bids_root: /data/bids\n",
            tools=(ToolUse("qsiprep", "26.1.1", "/images/qsiprep.sif", "sha256:ab", 7),) if made.runs else (),
        ),
    )


def page(path: Path, made: Report, *, change: Callable[[str], str] = lambda text: text) -> Path:
    """Write a report's page."""
    path.write_text(change(document(made, payload(made, folder=path.parent))), encoding="utf-8")
    return path


def held(made: Report, pipeline: str, reason: str) -> Report:
    """Return a report in which a pipeline is held."""
    return replace(made, holds={pipeline: reason})
