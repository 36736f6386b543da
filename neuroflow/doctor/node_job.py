"""Look at a compute node: submit one tiny job by the way that all jobs go, wait for its findings, clean up."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import neuroflow
from neuroflow.cluster.request import JobRequest
from neuroflow.cluster.submit import SlurmExecutor, check_folder
from neuroflow.doctor import node, node_checks
from neuroflow.doctor.check import Check, Context, Finding, Severity, on_slurm, skipped, well
from neuroflow.doctor.clock import judged
from neuroflow.doctor.folders import shared_folders
from neuroflow.doctor.node_log import JobLog, how_it_ended, marking_setup, read_log
from neuroflow.doctor.sample import job_of, on_cluster
from neuroflow.domain import Resources
from neuroflow.errors import ClusterError, CommandError, NeuroflowError
from neuroflow.orchestrator.folders import make_folders
from neuroflow.orchestrator.place import Place
from neuroflow.orchestrator.placement import Places

CHECK = "node"
TOPIC = "node"
REQUEST = Resources(cpus=1, memory_mb=1000, time_minutes=15)
ASK_SECONDS = 3.0
# A file that a node has written may be seen this much later (attribute caches of NFS).
SEEN_SECONDS = 30.0


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
    folder = _job_folder(context, token)
    with _prepared(context, folder, checks=checks) as told:
        try:
            job = marking_setup(context.config.cluster, request(context, folder, waiting.partition))
            job_id = submit(context, job)
        except ClusterError as problem:
            yield _own(node_checks.REFUSED.seen(str(problem)))
            return
        waiting.progress(f"job {job_id} is submitted")
        try:
            reason = _wait(context, folder, job_id, waiting)
        finally:
            with suppress(CommandError):
                context.ask("scancel", job_id)
        report = _report(context, folder)
        if report is not None:
            found = list(_findings(report))
            yield from found
            if any(one.check == node_checks.SAME_FOLDERS and one.severity is Severity.OK for one in found):
                yield from _answers(context, told, str(report["host"]), waiting)
            yield from _clock(told, report, now=context.clock())
            yield from _setup(context, job, job_id)
        elif reason:
            yield _own(node_checks.NOT_STARTED.seen(f"job {job_id}: {reason}"))
        else:
            yield _failed(context, job, job_id)


def _job_folder(context: Context, token: str) -> str:
    """Return the job's folder, by the name that the cluster knows it by."""
    cluster = context.config.cluster
    state = cluster.ssh.state_dir if cluster.is_remote else context.config.paths.state_dir
    return f"{state}/doctor/{token}"


def submit(context: Context, job: JobRequest) -> str:
    """Submit the job as those of the pipelines are, but for what it does, and return its id.

    Raises:
        ClusterError: when SLURM does not take it.
    """
    check_folder(job.folder)
    there = context.login_node
    executor = SlurmExecutor(job, context.config.cluster, transport=there.transport, folders=there.folders)
    return str(executor.submit(node.payload, job.folder).job_id)


def request(context: Context, folder: str, partition: str | None) -> JobRequest:
    """Return the job: tiny, and placed as the largest pipeline's is, unless a partition is named.

    Raises:
        ClusterError: when no partition takes the largest pipeline's jobs, or none has any.
    """
    pipelines = on_cluster(context.config)
    if not pipelines:
        raise ClusterError("no pipeline sends jobs to SLURM, so there is no node to look at")
    largest = max(pipelines, key=lambda one: one.resources.memory_mb)
    chosen = partition or context.places.of(largest, largest.resources).partition
    settings = largest.settings.model_copy(update={"partition": chosen})
    # Once the partition is known, its limits hold for the tiny request, and nothing else is chosen.
    there = Places(context.config.cluster, context.site)
    placed = there.placed(replace(largest, settings=settings), REQUEST)
    return replace(
        job_of(context, largest, placed),
        token=Path(folder).name,
        folder=folder,
        pipeline="doctor",
        scope="this site",
        settings=settings,
    )


@contextmanager
def _prepared(context: Context, folder: str, *, checks: Sequence[Check]) -> Iterator[node_checks.Told]:
    """Make the job's folder, and a file in each shared folder by which the node knows it; remove all of it again."""
    config = context.config
    nonce = Path(folder).name
    place = Place.of(config, where=config.cluster.kind)
    make_folders(config)
    here = shared_folders(context)
    names = {key: place.name(path) for key, path in here.items()}
    extra = {"checks": [check.name for check in checks]}
    told = node_checks.Told(neuroflow.__version__, context.clock(), names, nonce, extra)
    try:
        for path in here.values():
            with suppress(OSError):  # the check of the folders tells
                node_checks.nonce_file(str(path), nonce, by="login").write_text(nonce, encoding="utf-8")
        files = {node.CONFIG_NAME: node.config_file(config), node_checks.TOLD_NAME: node_checks.told_file(told)}
        context.login_node.folders.make({folder: files})
        yield told
    finally:
        for path in here.values():
            for by in ("login", "node"):
                with suppress(OSError):
                    node_checks.nonce_file(str(path), nonce, by=by).unlink(missing_ok=True)
        with suppress(ClusterError):
            context.ask("rm", "-rf", "--", folder)


def _wait(context: Context, folder: str, job_id: str, waiting: Waiting) -> str:
    """Wait for the findings; return why the job has not started, or nothing where it has ended."""
    deadline = time.monotonic() + waiting.seconds
    told = ""
    while _written(context, folder) is None:
        state, reason = _state(context, job_id)
        words = f"job {job_id}: {state}{f' ({reason})' if reason else ''}"
        if words != told:
            waiting.progress(words)
            told = words
        if state == "ended":
            _until(lambda: _written(context, folder) is not None, waiting)
            return ""
        if time.monotonic() > deadline:
            return f"{state}, for the reason {reason or 'unknown'}, after {waiting.seconds:g} s"
        waiting.sleep(min(ASK_SECONDS, max(0.1, deadline - time.monotonic())))
    return ""


def _written(context: Context, folder: str) -> bytes | None:
    """Return the findings that the job wrote; None while there are none, and while the cluster can't be reached."""
    try:
        return context.login_node.folders.look([folder], [node.FINDINGS_NAME])[folder][node.FINDINGS_NAME].data
    except ClusterError:
        return None


def _state(context: Context, job_id: str) -> tuple[str, str]:
    """Ask squeue for one job; a squeue that does not answer counts as one that still waits."""
    try:
        answer = context.ask("squeue", "-h", "-j", job_id, "-o", "%T|%r")
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


def _report(context: Context, folder: str) -> dict[str, Any] | None:
    try:
        value = json.loads(_written(context, folder) or b"")
    except ValueError:
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


def _answers(context: Context, told: node_checks.Told, host: str, waiting: Waiting) -> Iterator[Finding]:
    """Look for the files that the node wrote back."""
    for key, folder in shared_folders(context).items():
        answer = node_checks.nonce_file(str(folder), told.nonce, by="node")
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


def _failed(context: Context, job: JobRequest, job_id: str) -> Finding:
    """Keep the log of a job that left no findings, and tell how it ended."""
    file = context.config.logs_dir / f"doctor-{job_id}.log"
    log = JobLog()
    with suppress(OSError, ClusterError):
        log = read_log(context, job, job_id)
        log.write(file)
    end = how_it_ended(context, job_id)
    where = "its set-up lines did not come to their end" if log.ended_in_setup else ""
    words = "; ".join(text for text in (end, where, log.last_words) if text)
    return _own(node_checks.FAILED.seen(f"job {job_id}: {words}", log=file))


def _setup(context: Context, job: JobRequest, job_id: str) -> Iterator[Finding]:
    """Tell what the set-up lines wrote to stderr: a script goes on after a line that has failed."""
    with suppress(OSError, ClusterError):
        if said := read_log(context, job, job_id).setup_words:
            yield _own(node_checks.SETUP_SAID.seen(f"job {job_id}: {said}"))


def _own(finding: Finding) -> Finding:
    return Check(CHECK, TOPIC, "", lambda context: (), ()).own(finding, host="")


def not_asked(context: Context) -> Finding | None:
    """Return why no node can be looked at; None where one can."""
    if not context.loads:
        return _own(skipped("the configuration has to be mended first"))
    reason = on_slurm(context)
    return _own(skipped(f"{reason}: there are no nodes")) if reason else None
