"""Whether there is all that each pipeline's tool needs: a command, a runtime, the folders that it binds."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from neuroflow.adapters.runtimes.images import ENGINES
from neuroflow.config.disk import exists
from neuroflow.doctor.check import ON_CLUSTER, Check, Context, Finding, error, skipped, warning, well
from neuroflow.doctor.sample import container_of, enabled, works_here
from neuroflow.domain import ContainerRun
from neuroflow.errors import AdapterError, CommandError
from neuroflow.orchestrator.registry import Pipeline

TOPIC = "containers"
IMAGE_RUNTIMES = ("apptainer", "singularity")

NO_COMMAND = error(
    "command-impossible",
    "no command can be built for a pipeline from the configuration",
    why="its first run would fail, and the pipeline be held",
    mend="{hint}",
)
NO_RUNTIME = error(
    "runtime-missing",
    "the container runtime, or a tool on the host, is not there or does not start",
    why="every job that needs it would fail at once",
    mend='install {program}, or load it for the jobs: `cluster.setup_lines: ["module load {program}"]`; '
    "or set containers.runtime to what there is",
)
NOT_HERE = warning(
    "runtime-not-here",
    "the container runtime, or a tool, that jobs need is not on this host",
    why="images can't be tried here; that the nodes have it is not known",
    mend="neuroflow doctor --node",
)
NO_BIND = error(
    "bind-missing",
    "a folder that containers.binds names is not there",
    why="the runtime refuses to start a container whose bind is missing",
    mend="make it, or remove it from containers.binds",
)


def _commands(context: Context) -> Iterator[Finding]:
    config = context.config
    for pipeline in enabled(config):
        if missing := _no_image(context, pipeline):
            yield missing
            continue
        try:
            run = container_of(context, pipeline)
        except AdapterError as problem:
            hint = problem.hint or f"correct pipelines.{pipeline.name}"
            yield NO_COMMAND.seen(f"{pipeline.name}: {problem}", hint=hint)
        else:
            yield well(f"{pipeline.name}: {run.runtime}, {run.image or run.program[0]}")


def _no_image(context: Context, pipeline: Pipeline) -> Finding | None:
    """Return that a container has no image: it comes before the version, which mostly its name tells."""
    settings = pipeline.settings
    runtime = settings.runtime or context.config.containers.runtime
    if settings.image is not None or runtime not in (*IMAGE_RUNTIMES, *ENGINES):
        return None
    key = f"pipelines.{pipeline.name}.image"
    hint = f"name its image in {key} (`neuroflow containers pull` fetches one), or set its runtime to `host`"
    return NO_COMMAND.seen(f"{pipeline.name}: {runtime} needs an image, and {key} is not set", hint=hint)


def buildable(context: Context) -> Iterator[tuple[Pipeline, ContainerRun]]:
    """Yield the pipelines that run here and have a command; those without one are `command-impossible` already."""
    for pipeline in enabled(context.config):
        if not works_here(context, pipeline):
            continue
        try:
            yield pipeline, container_of(context, pipeline)
        except AdapterError:
            continue


def elsewhere(context: Context) -> Iterator[Finding]:
    """Say of which pipelines the tools are not looked at, because they are on a cluster behind SSH."""
    names = [one.name for one in enabled(context.config) if not works_here(context, one)]
    if names and not context.on_node:
        yield skipped(f"{', '.join(names)}: {ON_CLUSTER}")


def _runtimes(context: Context) -> Iterator[Finding]:
    programs: dict[str, list[Pipeline]] = {}
    for pipeline, run in buildable(context):
        programs.setdefault(run.program[0] if run.runtime == "host" else run.runtime, []).append(pipeline)
    for program, pipelines in programs.items():
        yield _program(context, program, pipelines)
    yield from elsewhere(context)


def _program(context: Context, program: str, pipelines: list[Pipeline]) -> Finding:
    names = ", ".join(one.name for one in pipelines)
    path = shutil.which(program, path=context.environ.get("PATH"))
    if path is None:
        return _missing(context, program, pipelines)
    if program not in (*IMAGE_RUNTIMES, *ENGINES):
        return well(f"{program} is there, for {names}")
    try:
        answer = context.run(path, "--version")
        answer.check()
    except CommandError as problem:
        return NO_RUNTIME.seen(str(problem), program=program)
    return well(f"{answer.stdout.strip()}, for {names}")


def _missing(context: Context, program: str, pipelines: list[Pipeline]) -> Finding:
    """Judge a program that is missing here: many clusters have the runtime on their compute nodes only."""
    where = "does not exist" if "/" in program else "is not on the PATH"
    words = f"{program}, for {', '.join(one.name for one in pipelines)}, {where}"
    in_jobs = context.config.cluster.kind == "slurm" and all(one.where == "cluster" for one in pipelines)
    if context.on_node or not in_jobs:
        return NO_RUNTIME.seen(words, program=program)
    if context.config.cluster.setup_lines or all(one.settings.setup_lines for one in pipelines):
        return skipped(f"{words}; setup_lines may bring it in the job: `neuroflow doctor --node`")
    return NOT_HERE.seen(words)


def _binds(context: Context) -> Iterator[Finding]:
    if context.config.cluster.is_remote:  # they have the cluster's names
        yield skipped(ON_CLUSTER)
        return
    missing = []
    for text in context.config.containers.binds:
        source = text.partition(":")[0]
        if not exists(Path(source)):
            missing.append(NO_BIND.seen(f"containers.binds: {source} does not exist"))
    yield from missing or [well("what containers.binds names is there")]


CHECKS = (
    Check("commands", TOPIC, "a command can be built for each pipeline", _commands, (NO_COMMAND,), quick=True),
    Check(
        "runtimes",
        TOPIC,
        "runtimes and host tools are there",
        _runtimes,
        (NO_RUNTIME, NOT_HERE),
        on_node=True,
        quick=True,
    ),
    Check("binds", TOPIC, "folders of containers.binds", _binds, (NO_BIND,), on_node=True, quick=True),
)
