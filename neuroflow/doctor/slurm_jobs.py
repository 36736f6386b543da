"""Whether SLURM would take the jobs of each pipeline, as they would be submitted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from neuroflow.cluster.answers import is_passing
from neuroflow.cluster.submit import script_text
from neuroflow.doctor.check import Check, Context, Finding, error, moment, on_slurm, skipped, warning, well
from neuroflow.doctor.sample import job_of, on_cluster, request_of
from neuroflow.doctor.slurm import TOPIC
from neuroflow.domain import Resources
from neuroflow.errors import ClusterError, CommandError
from neuroflow.orchestrator.limits import submit_limits
from neuroflow.orchestrator.registry import Pipeline

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
    config = context.config
    found = []
    for pipeline in on_cluster(config):
        try:
            script = script_text(job_of(config, pipeline, context.site), config.cluster)
            # The very script that would be submitted; nothing is.
            answer = context.run("sbatch", "--test-only", input=script)
        except ClusterError as problem:
            if isinstance(problem, CommandError) and problem.timed_out:
                yield skipped(f"{pipeline.name}: SLURM does not answer at present: {problem}")
                continue
            found.append(REFUSED.seen(f"{pipeline.name}: {problem}", pipeline=pipeline.name))
            continue
        said = " / ".join(line.strip() for line in answer.stderr.splitlines() if line.strip())
        if answer.exit_code != 0 and is_passing(answer.stderr):
            yield skipped(f"{pipeline.name}: SLURM takes no job at present: {said}")
        elif answer.exit_code != 0:
            found.append(REFUSED.seen(f"{pipeline.name} ({_asked(context, pipeline)}): {said}", pipeline=pipeline.name))
        else:
            yield well(f"{pipeline.name} ({_asked(context, pipeline)}) would be taken")
    yield from found
    if not on_cluster(config):
        yield skipped("no pipeline sends jobs to SLURM")


def _asked(context: Context, pipeline: Pipeline) -> str:
    own, site = pipeline.settings, context.config.cluster
    placed = {
        "account": own.account or site.account,
        "partition": own.partition or site.partition,
        "qos": own.qos or site.qos,
        "constraint": site.constraint,
    }
    where = [f"{name} {value}" for name, value in placed.items() if value]
    return ", ".join([*where, _request(request_of(context.config, pipeline, context.site))])


def _request(resources: Resources) -> str:
    gpus = f", {resources.gpus} GPUs" if resources.gpus else ""
    return f"{resources.cpus} cores, {resources.memory_mb} MiB, {resources.time_minutes} min{gpus}"


def _sizes(context: Context) -> Iterator[Finding]:
    config = context.config
    found: list[Finding] = []
    for pipeline in on_cluster(config):
        name, own = pipeline.name, pipeline.settings
        granted = request_of(config, pipeline, context.site)
        if granted != pipeline.resources:
            found.append(
                CUT.seen(f"{name} asks for {_request(pipeline.resources)}, and gets {_request(granted)}", pipeline=name)
            )
        limits = submit_limits(
            context.site,
            account=own.account or config.cluster.account,
            partition=own.partition or config.cluster.partition,
            qos=own.qos or config.cluster.qos,
        )
        lowest = min(limits, key=lambda one: one.number, default=None)
        if lowest is not None and pipeline.max_concurrent > lowest.number:
            words = f"workflow.max_concurrent.{name} is {pipeline.max_concurrent}, {lowest.whose} is {lowest.number}"
            found.append(LIMIT.seen(words, pipeline=name))
    yield from found or [well("every request is within the limits of its partition and account")]


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
        (REFUSED,),
        needs=_NEEDS,
        applies=on_slurm,
        seconds=180,
    ),
    Check("slurm-limits", TOPIC, "requests and limits", _sizes, (CUT, LIMIT), needs=_NEEDS, applies=on_slurm),
    Check("slurm-maintenance", TOPIC, "maintenance", _maintenance, (MAINTENANCE,), needs=_NEEDS, applies=on_slurm),
)
