"""Attempts, jobs, records and sightings as the tests of the cluster layer need them."""

from __future__ import annotations

import itertools
import os
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from neuroflow.cluster.base import Cluster, JobRequest
from neuroflow.cluster.verdict import judge
from neuroflow.config import NeuroflowConfig
from neuroflow.config.execution import PipelineSettings
from neuroflow.domain import (
    AttemptRecord,
    AttemptStatus,
    ContainerRun,
    ExitRecord,
    OutputRule,
    Resources,
    Verdict,
    VerdictKind,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RESOURCES = Resources(cpus=1, memory_mb=200, time_minutes=5)
_TOKENS = itertools.count(1)


def new_token() -> str:
    """Return a token that no other test, and no other test run, uses."""
    return f"nf-qsiprep-{os.getpid()}-{time.time_ns():x}-{next(_TOKENS)}"


def config_in(root: Path, **cluster: object) -> NeuroflowConfig:
    """Return a configuration whose folders lie below `root`."""
    paths = {
        "dicom_root": root / "dicom",
        "bids_root": root / "bids",
        "derivatives_root": root / "derivatives",
        "work_root": root / "work",
        "state_dir": root / "state",
    }
    return NeuroflowConfig(paths=paths, cluster=cluster)


def python_job(
    root: Path, code: str, *, token: str | None = None, resources: Resources = RESOURCES, **run: object
) -> JobRequest:
    """Return a job that runs Python code with the output folder, then the scratch folder, as its arguments."""
    token = token or new_token()
    folder = root / "state" / "attempts" / token
    folder.mkdir(parents=True)
    container = ContainerRun(
        pipeline="qsiprep",
        runtime="host",
        image=None,
        version=None,
        program=(sys.executable,),
        arguments=(),
        binds=(),
        environment={"GREETING": "hello"},
        output_dir=str(root / "work" / f"out-{token}"),
        work_dir=str(root / "work" / "work"),
        publish_dir=str(root / "derivatives" / "qsiprep"),
        owned=("sub-01", "sub-01.html"),
        outputs=(OutputRule("sub-01/**/*.txt"),),
    )
    container = replace(container, **run)  # type: ignore[arg-type]
    return JobRequest(
        token=token,
        folder=str(folder),
        pipeline="qsiprep",
        scope="sub-01",
        resources=resources,
        exclude_nodes=(),
        command=(sys.executable, "-c", code, container.output_dir, "@SCRATCH@"),
        run=container,
        settings=PipelineSettings(),
    )


WRITES = (
    "import os, pathlib, sys; out = pathlib.Path(sys.argv[1]) / 'sub-01' / 'dwi'; out.mkdir(parents=True); "
    "(out / 'a.txt').write_text(os.environ['GREETING']); pathlib.Path(sys.argv[2], 'x').write_text('x')"
)


def attempt_of(job: JobRequest, *, job_id: str | None, where: str = "slurm") -> AttemptRecord:
    """Return the attempt that a job belongs to, as the database would hold it."""
    now = datetime.now(UTC)
    return replace(
        attempt(token=job.token, job_id=job_id),
        folder=job.folder,
        where=where,
        resources=job.resources,
        created_at=now,
        submitted_at=now,
        last_seen_at=now,
    )


def attempt(**changes: object) -> AttemptRecord:
    """Return a submitted attempt of a ten-minute, 1000 MiB request."""
    base = AttemptRecord(
        id=1,
        run_id=1,
        pipeline="qsiprep",
        scope="sub-01",
        number=1,
        token="nf-1",
        status=AttemptStatus.SUBMITTED,
        where="slurm",
        folder="/state/attempts/nf-1",
        job_id="17",
        job_word="",
        job_reason="",
        resources=Resources(cpus=1, memory_mb=1000, time_minutes=10),
        counted=True,
        failure=None,
        message="",
        exit_code=None,
        signal=None,
        host="",
        max_rss_mb=None,
        image=None,
        created_at=NOW - timedelta(minutes=5),
        submitted_at=NOW - timedelta(minutes=5),
        started_at=None,
        ended_at=None,
        last_seen_at=NOW - timedelta(seconds=10),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def exit_record(*, ended_ago: float = 10, lasted: float = 60, **changes: object) -> ExitRecord:
    """Return the record of a published success that ended some seconds ago."""
    ended = NOW.timestamp() - ended_ago
    base = ExitRecord(
        token="nf-1",
        job_id="17",
        exit_code=0,
        signal=None,
        host="n1",
        started_at=ended - lasted,
        ended_at=ended,
        stderr_tail="",
        max_rss_mb=100.0,
        published=True,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def wait_for_verdict(cluster: Cluster, one: AttemptRecord, *, seconds: float = 60, grace: float = 20) -> Verdict:
    """Poll, as the workflow would, until an attempt's verdict is final."""
    end = time.monotonic() + seconds
    while True:
        sighting = cluster.sight([one])[one.token]
        verdict = judge(one, sighting, now=datetime.now(UTC), grace_seconds=grace)
        if verdict.kind in (VerdictKind.SUCCEEDED, VerdictKind.FAILED, VerdictKind.UNKNOWN):
            return verdict
        if time.monotonic() > end:
            raise AssertionError(f"no final verdict within {seconds} s: {verdict}; {sighting}")
        time.sleep(0.5)
