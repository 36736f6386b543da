"""The job of a run that nobody has opened: made up, to be looked at before anything is submitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from neuroflow.cluster.base import JobRequest
from neuroflow.domain import Level, RunRecord, RunStatus, SessionRecord
from neuroflow.errors import UsageError
from neuroflow.orchestrator.attempt_job import Covered, JobBuilder
from neuroflow.orchestrator.placement import Places
from neuroflow.orchestrator.registry import Pipeline
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.site import SITE_KEY, site_limits


@dataclass(frozen=True)
class Preview:
    """A made-up job, and what about it is made up."""

    job: JobRequest
    notes: tuple[str, ...]


def preview(services: Services, name: str, *, subject: str, sessions: Sequence[str]) -> Preview:
    """Return the job that a pipeline would have for a subject or session; nothing is written.

    Raises:
        UsageError: when a session is missing, or there is one too many.
        AdapterError: when the configuration does not allow the job.
        PlacementError: when no partition takes it.
    """
    pipeline = services.registry.get(name)
    known = [one for one in services.state.list_sessions(subject=subject) if not sessions or one.label in sessions]
    labels = tuple(sessions) or tuple(sorted(one.label for one in known))
    notes = [f"a preview: the run does not exist, and its number 0 and the token {_token(name)} are made up"]
    if not labels:
        raise UsageError(
            f"no session of subject {subject} is known, and --session names none",
            hint=f"neuroflow pipeline render {name} --subject {subject} --session LABEL",
        )
    if pipeline.level is Level.SESSION and len(labels) > 1:
        raise UsageError(
            f"one run of {name} covers one session, and there are {len(labels)}: {', '.join(labels)}",
            hint="name one of them with --session",
        )
    unknown = sorted(set(labels) - {one.label for one in known})
    if unknown:
        notes.append(f"not in the database: subject {subject}, session {', '.join(unknown)}")
    run = _made_up(pipeline, subject, labels, now=services.clock())
    covered = Covered(sessions=labels, source_path=_source(services, subject, labels[0], known))
    builder = JobBuilder(services, known_places=places_now(services))
    return Preview(builder.build(run, token=_token(name), covered=covered), tuple(notes))


def _token(name: str) -> str:
    return f"nf-{name}-preview"


def _made_up(pipeline: Pipeline, subject: str, labels: Sequence[str], *, now: datetime) -> RunRecord:
    session = labels[0] if pipeline.level is Level.SESSION else None
    return RunRecord.untouched(
        id=0,
        pipeline=pipeline.name,
        level=pipeline.level,
        scope=f"sub-{subject}" + (f"/ses-{session}" if session else ""),
        subject_id=0,
        session_id=None,
        subject=subject,
        session=session,
        inputs_key="",
        status=RunStatus.PENDING,
        reason="",
        superseded=False,
        at=now,
    )


def _source(services: Services, subject: str, label: str, known: Sequence[SessionRecord]) -> str:
    for one in known:
        if one.label == label:
            return one.path
    layout = services.config.discovery.layout
    folders = (subject, label) if layout == "subject/session" else (label, subject)
    return str(services.config.paths.dicom_root.joinpath(*folders))


def places_now(services: Services) -> Places:
    """Return where jobs can go; SLURM is asked where it never was, and its answer is not kept."""
    cluster = services.config.cluster
    if cluster.kind == "slurm" and services.state.get_value(SITE_KEY) is None:
        return Places(cluster, services.clusters["slurm"].site_limits())
    return Places(cluster, site_limits(services))
