"""Whether SLURM would take the jobs of each pipeline, as they would be submitted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from neuroflow.cluster.answers import is_passing
from neuroflow.cluster.submit import script_text
from neuroflow.config.partitions import job_settings
from neuroflow.doctor.check import Check, Context, Finding, Severity, error, moment, on_slurm, skipped, warning, well
from neuroflow.doctor.sample import job_of, on_cluster
from neuroflow.doctor.slurm import TOPIC
from neuroflow.domain import Resources
from neuroflow.errors import ClusterError, CommandError, HostUnreachable, PlacementError
from neuroflow.orchestrator.limits import submit_limits
from neuroflow.orchestrator.registry import Pipeline
from neuroflow.wording import counted

# A maintenance this far ahead concerns nobody yet.
AHEAD = timedelta(days=7)

REFUSED = error(
    "slurm-refuses",
    "SLURM would refuse the jobs of a pipeline",
    why="its first submission would fail, and the pipeline be held",
    mend="correct account, partition, qos, gpus and limits under `cluster` or pipelines.{pipeline}: "
    "`sacctmgr show assoc user=$USER format=account,partition,qos` and `sinfo -o '%P %l %c %m %G %f'` list "
    "what there is",
)
NO_PARTITION = error(
    "slurm-no-partition",
    "`partition: auto` finds no partition that takes the jobs of a pipeline",
    why="its first run would fail before it is submitted, and the pipeline be held",
    mend="{hint}",
)
CUT = warning(
    "slurm-request-cut",
    "a pipeline asks for more than its partition gives",
    why="its jobs are submitted with less, and may be too small or too short for the work",
    mend="choose another partition (pipelines.{pipeline}.partition), or ask for less "
    "(pipelines.{pipeline}.cpus, memory_mb, time_minutes)",
)
LIMIT = warning(
    "slurm-submit-limit",
    "workflow.max_concurrent is above what the site lets one user submit",
    why="the rest waits until there is room: harmless, but it looks as if neuroflow were slow",
    mend="lower workflow.max_concurrent.{pipeline}, or ask your admins for a higher limit",
)
MAINTENANCE = warning(
    "slurm-maintenance",
    "a maintenance begins within a week",
    why="jobs that could not end before it wait until it is over",
    mend="set pipelines.X.shortest_minutes where jobs may be shortened, or wait",
)


def _accepted(context: Context) -> Iterator[Finding]:
    pipelines = on_cluster(context.config)
    found = [finding for pipeline in pipelines for finding in _would_be_taken(context, pipeline)]
    yield from sorted(found, key=lambda one: one.severity is Severity.ERROR)
    if not pipelines:
        yield skipped("no pipeline sends jobs to SLURM")


def _would_be_taken(context: Context, pipeline: Pipeline) -> Iterator[Finding]:
    name = pipeline.name
    try:
        job = job_of(context, pipeline, context.places.placed(pipeline, pipeline.resources))
        # The very script that would be submitted; nothing is.
        answer = context.ask("sbatch", "--test-only", input=script_text(job, context.config.cluster))
    except PlacementError as problem:
        hint = problem.hint or f"change the request under pipelines.{name}"
        yield skipped(f"{name}: {problem}") if problem.transient else NO_PARTITION.seen(str(problem), hint=hint)
        return
    except ClusterError as problem:
        silent = isinstance(problem, CommandError) and problem.returncode is None
        if silent or isinstance(problem, HostUnreachable):
            yield skipped(f"{name}: SLURM does not answer at present: {problem}")
        else:
            yield REFUSED.seen(f"{name}: {problem}", pipeline=name)
        return
    said = " / ".join(line.strip() for line in answer.stderr.splitlines() if line.strip())
    asked = _asked(context, pipeline, job.resources)
    if answer.exit_code == 0:
        yield well(f"{name} ({asked}) would be taken")
    elif is_passing(answer.stderr):
        yield skipped(f"{name}: SLURM takes no job at present: {said}")
    else:
        yield REFUSED.seen(f"{name} ({asked}): {said}", pipeline=name)


def _asked(context: Context, pipeline: Pipeline, request: Resources) -> str:
    own = job_settings(context.config.cluster, pipeline.settings, partition=request.partition or None)
    placed = {
        "account": own.account,
        "partition": own.partition,
        "qos": own.qos,
        "constraint": own.constraint,
        "gres": own.gres,
    }
    where = [f"{name} {value}" for name, value in placed.items() if value]
    return ", ".join([*where, _request(request)])


def _request(resources: Resources) -> str:
    gpus = f", {counted(resources.gpus, 'GPU')}" if resources.gpus else ""
    return f"{counted(resources.cpus, 'core')}, {resources.memory_mb} MiB, {resources.time_minutes} min{gpus}"


def _sizes(context: Context) -> Iterator[Finding]:
    found = [finding for pipeline in on_cluster(context.config) for finding in _size(context, pipeline)]
    yield from found or [well("every request is within the limits of its partition and account")]


def _size(context: Context, pipeline: Pipeline) -> Iterator[Finding]:
    name, asked = pipeline.name, pipeline.resources
    try:
        granted = context.places.placed(pipeline, asked)
    except PlacementError as problem:  # which `slurm-jobs` tells of
        yield skipped(f"{name}: {problem}")
        return
    if any(getattr(granted, part) < getattr(asked, part) for part in ("cpus", "memory_mb", "time_minutes")):
        yield CUT.seen(f"{name} asks for {_request(asked)}, and gets {_request(granted)}", pipeline=name)
    where = context.places.of(pipeline, granted)
    limits = submit_limits(context.site, account=where.account, partition=where.partition, qos=where.qos)
    lowest = min(limits, key=lambda one: one.number, default=None)
    if lowest is not None and pipeline.max_concurrent > lowest.number:
        words = f"workflow.max_concurrent.{name} is {pipeline.max_concurrent}, {lowest.whose} is {lowest.number}"
        yield LIMIT.seen(words, pipeline=name)


def _maintenance(context: Context) -> Iterator[Finding]:
    reservations = context.site.reservations
    if reservations is None:
        yield skipped("SLURM does not tell its reservations")
        return
    now = moment(context.clock())
    ahead = [one for one in reservations if one.is_maintenance and one.end > now and one.start < now + AHEAD]
    for one in ahead:
        where = "all nodes" if one.all_nodes else ", ".join(one.partitions) or one.nodes
        yield MAINTENANCE.seen(f"'{one.name}' from {one.start:%Y-%m-%d %H:%M} to {one.end:%Y-%m-%d %H:%M} UTC, {where}")
    if not ahead:
        yield well("none within a week")


_NEEDS = ("slurm-controller",)
CHECKS = (
    Check(
        "slurm-jobs",
        TOPIC,
        "each pipeline's job is accepted (sbatch --test-only)",
        _accepted,
        (REFUSED, NO_PARTITION),
        needs=_NEEDS,
        applies=on_slurm,
        seconds=180,
    ),
    Check("slurm-limits", TOPIC, "requests and limits", _sizes, (CUT, LIMIT), needs=_NEEDS, applies=on_slurm),
    Check("slurm-maintenance", TOPIC, "maintenance", _maintenance, (MAINTENANCE,), needs=_NEEDS, applies=on_slurm),
)
