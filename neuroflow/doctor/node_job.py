"""Look at a compute node: submit one tiny job by the way that all jobs go, wait for its findings, clean up."""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import neuroflow
from neuroflow.cluster.folders import LocalFolders
from neuroflow.cluster.request import JobRequest
from neuroflow.cluster.submit import SlurmExecutor, check_folder
from neuroflow.config.execution import PipelineSettings
from neuroflow.doctor import node, node_checks
from neuroflow.doctor.check import Check, Context, Finding, Severity, on_slurm, skipped, well
from neuroflow.doctor.clock import judged
from neuroflow.doctor.sample import job_of, on_cluster
from neuroflow.domain import Resources, SiteLimits
from neuroflow.errors import ClusterError, CommandError, NeuroflowError
from neuroflow.orchestrator.folders import make_folders

CHECK = "node"
TOPIC = "node"
REQUEST = Resources(cpus=1, memory_mb=1000, time_minutes=15)
ASK_SECONDS = 3.0
# A file that a node has written may be seen this much later (attribute caches of NFS).
SEEN_SECONDS = 30.0
_LAST_LINES = 4


@dataclass(frozen=True)
class Waiting:
    """How long to wait, and who is told how it goes."""

    seconds: float
    partition: str | None = None
    progress: Callable[[str], None] = lambda text: None
    sleep: Callable[[float], None] = time.sleep


def look_at_node(context: Context, waiting: Waiting, *, checks: Sequence[Check]) -> Iterator[Finding]:
    """Yield what a job on a compute node finds; the job is cancelled when the wait ends, however it ends."""
    try:
        yield from _look(context, waiting, checks=checks)
    except (OSError, NeuroflowError) as problem:
        yield _own(node_checks.IMPOSSIBLE.seen(str(problem)))


def _look(context: Context, waiting: Waiting, *, checks: Sequence[Check]) -> Iterator[Finding]:
    token = f"nf-doctor-{secrets.token_hex(6)}"
    place = context.config.paths.state_dir / "doctor" / token
    with _prepared(context, place, checks=checks) as told:
        try:
            job_id = submit(context, request(context, place, waiting.partition))
        except ClusterError as problem:
            yield _own(node_checks.REFUSED.seen(str(problem)))
            return
        waiting.progress(f"job {job_id} is submitted")
        try:
            reason = _wait(context, place, job_id, waiting)
        finally:
            with suppress(CommandError):
                context.run("scancel", job_id)
        report = _report(place)
        if report is not None:
            found = list(_findings(report))
            yield from found
            if any(one.check == node_checks.SAME_FOLDERS and one.severity is Severity.OK for one in found):
                yield from _answers(told, str(report["host"]), waiting)
            yield from _clock(told, report, now=context.clock())
        elif reason:
            yield _own(node_checks.NOT_STARTED.seen(f"job {job_id}: {reason}"))
        else:
            log = _kept(context, place, job_id)
            yield _own(node_checks.FAILED.seen(f"job {job_id}: {_last_words(log)}", log=log))


def submit(context: Context, job: JobRequest) -> str:
    """Submit the job as those of the pipelines are, but for what it does, and return its id.

    Raises:
        ClusterError: when SLURM does not take it.
    """
    check_folder(job.folder)
    executor = SlurmExecutor(job, context.config.cluster, transport=context.transport, folders=LocalFolders())
    return str(executor.submit(node.payload, job.folder).job_id)


def request(context: Context, place: Path, partition: str | None) -> JobRequest:
    """Return the job: tiny, and placed as the largest pipeline's is, unless a partition is named."""
    config = context.config
    pipelines = on_cluster(config)
    own = max(pipelines, key=lambda one: one.resources.memory_mb).settings if pipelines else PipelineSettings()
    settings = PipelineSettings(
        account=own.account,
        partition=partition or own.partition,
        qos=own.qos,
        setup_lines=own.setup_lines,
    )
    sample = job_of(config, pipelines[0], SiteLimits()) if pipelines else None
    if sample is None:
        raise ClusterError("no pipeline sends jobs to SLURM, so there is no node to look at")
    return JobRequest(
        token=place.name,
        folder=str(place),
        pipeline="doctor",
        scope="this site",
        resources=REQUEST,
        exclude_nodes=(),
        command=("true",),
        run=sample.run,
        settings=settings,
    )


@contextmanager
def _prepared(context: Context, place: Path, *, checks: Sequence[Check]) -> Iterator[node_checks.Told]:
    """Make the job's folder, and a file in each shared folder by which the node knows it; remove all of it again."""
    config = context.config
    nonce = place.name
    folders = {
        key: str(getattr(config.paths, key)) for key in ("bids_root", "derivatives_root", "work_root", "state_dir")
    }
    make_folders(config)
    place.parent.mkdir(mode=0o700, exist_ok=True)
    place.mkdir(mode=0o700)
    extra = {"checks": [check.name for check in checks]}
    told = node_checks.Told(neuroflow.__version__, context.clock(), folders, nonce, extra)
    try:
        for folder in folders.values():
            with suppress(OSError):  # the check of the folders tells
                node_checks.nonce_file(folder, nonce, by="login").write_text(nonce, encoding="utf-8")
        node.write_config(place, config)
        node_checks.write_told(place, told)
        yield told
    finally:
        for folder in folders.values():
            for by in ("login", "node"):
                with suppress(OSError):
                    node_checks.nonce_file(folder, nonce, by=by).unlink(missing_ok=True)
        shutil.rmtree(place, ignore_errors=True)


def _wait(context: Context, place: Path, job_id: str, waiting: Waiting) -> str:
    """Wait for the findings; return why the job has not started, or nothing where it has ended."""
    deadline = time.monotonic() + waiting.seconds
    told = ""
    while not (place / node.FINDINGS_NAME).exists():
        state, reason = _state(context, job_id)
        words = f"job {job_id}: {state}{f' ({reason})' if reason else ''}"
        if words != told:
            waiting.progress(words)
            told = words
        if state == "ended":
            _until((place / node.FINDINGS_NAME).exists, waiting)
            return ""
        if time.monotonic() > deadline:
            return f"{state}, for the reason {reason or 'unknown'}, after {waiting.seconds:g} s"
        waiting.sleep(min(ASK_SECONDS, max(0.1, deadline - time.monotonic())))
    return ""


def _state(context: Context, job_id: str) -> tuple[str, str]:
    """Ask squeue for one job; a squeue that does not answer counts as one that still waits."""
    try:
        answer = context.run("squeue", "-h", "-j", job_id, "-o", "%T|%r")
    except CommandError as problem:
        return "unknown", str(problem)
    if answer.exit_code != 0:
        gone = "Invalid job id" in answer.stderr
        return ("ended", "") if gone else ("unknown", answer.stderr.strip())
    state, _, reason = answer.stdout.strip().partition("|")
    if state in ("", "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "COMPLETING"):
        return "ended", ""
    return state, "" if reason == "None" else reason


def _until(condition: Callable[[], bool], waiting: Waiting, *, seconds: float = SEEN_SECONDS / 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        waiting.sleep(0.2)
    return True


def _report(place: Path) -> dict[str, Any] | None:
    try:
        value = json.loads((place / node.FINDINGS_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _findings(report: dict[str, Any]) -> Iterator[Finding]:
    """Read what the node wrote; another release may have other fields."""
    known = {field.name for field in fields(Finding)}
    for row in report.get("findings", []):
        values = {name: str(value) for name, value in row.items() if name in known}
        try:
            yield Finding(**{**values, "severity": Severity(row["severity"])})  # type: ignore[arg-type]
        except (KeyError, TypeError, ValueError) as problem:
            raise NeuroflowError(f"what the node wrote can't be read: {row} ({problem})") from problem


def _answers(told: node_checks.Told, host: str, waiting: Waiting) -> Iterator[Finding]:
    """Look for the files that the node wrote back."""
    for key, folder in told.folders.items():
        answer = node_checks.nonce_file(folder, told.nonce, by="node")
        if _until(answer.exists, waiting):
            continue
        words = f"paths.{key} ({folder}): what {host} wrote there can't be seen here"
        yield _own(node_checks.OTHER_FOLDER.seen(words, key=key, folder=folder))


def _clock(told: node_checks.Told, report: dict[str, Any], *, now: float) -> Iterator[Finding]:
    """Compare the node's clock with this one: it may not begin before it was asked, nor end after it has answered."""
    behind = min(0.0, float(report["began_at"]) - told.sent_at)
    ahead = max(0.0, float(report["ended_at"]) - now)
    host = str(report["host"])
    found = judged(f"the node {host}", behind or ahead)
    yield _own(found or well(f"the clock of {host} agrees with this one"))


def _kept(context: Context, place: Path, job_id: str) -> Path:
    """Keep the log of a job that failed, and return where."""
    log = context.config.logs_dir / f"doctor-{job_id}.log"
    parts = [path.read_bytes() for path in sorted(place.glob("*_log.*"))]
    with suppress(OSError):
        log.parent.mkdir(mode=0o700, exist_ok=True)
        log.write_bytes(b"".join(parts))
    return log


def _last_words(log: Path) -> str:
    try:
        lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        lines = []
    said = " / ".join([line for line in lines if line][-_LAST_LINES:])
    return said or "it wrote nothing, not even a log: the node may not see paths.state_dir"


def _own(finding: Finding) -> Finding:
    return Check(CHECK, TOPIC, "", lambda context: (), ()).own(finding, host="")


def not_asked(context: Context) -> Finding | None:
    """Return why no node can be looked at; None where one can."""
    if not context.loads:
        return _own(skipped("the configuration has to be mended first"))
    reason = on_slurm(context)
    return _own(skipped(f"{reason}: there are no nodes")) if reason else None
