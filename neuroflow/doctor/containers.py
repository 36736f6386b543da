"""Whether there is all that each pipeline's tool needs: a command, a runtime, the folders that it binds."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from neuroflow.doctor.check import Check, Context, Finding, error, skipped, well
from neuroflow.doctor.sample import container_of, enabled
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
NO_BIND = error(
    "bind-missing",
    "a folder that containers.binds names is not there",
    why="the runtime refuses to start a container whose bind is missing",
    mend="make it, or remove it from containers.binds",
)


def _commands(context: Context) -> Iterator[Finding]:
    config = context.config
    for pipeline in enabled(config):
        try:
            run = container_of(config, pipeline)
        except AdapterError as problem:
            hint = problem.hint or f"correct pipelines.{pipeline.name}"
            yield NO_COMMAND.seen(f"{pipeline.name}: {problem}", hint=hint)
        else:
            yield well(f"{pipeline.name}: {run.runtime}, {run.image or run.program[0]}")


def buildable(context: Context) -> Iterator[tuple[Pipeline, ContainerRun]]:
    """Yield the pipelines for which a command can be built; the others are `command-impossible` already."""
    for pipeline in enabled(context.config):
        try:
            yield pipeline, container_of(context.config, pipeline)
        except AdapterError:
            continue


def _runtimes(context: Context) -> Iterator[Finding]:
    programs: dict[str, list[str]] = {}
    for pipeline, run in buildable(context):
        programs.setdefault(run.program[0] if run.runtime == "host" else run.runtime, []).append(pipeline.name)
    for program, pipelines in programs.items():
        yield _program(context, program, pipelines)


def _program(context: Context, program: str, pipelines: list[str]) -> Finding:
    if _by_setup_lines(context, program):
        return skipped(f"{program} is not here; cluster.setup_lines may bring it in the job: `neuroflow doctor --node`")
    path = shutil.which(program, path=context.environ.get("PATH"))
    if path is None:
        words = f"{program}, for {', '.join(pipelines)}, is not on the PATH"
        return NO_RUNTIME.seen(words, program=program)
    if program not in (*IMAGE_RUNTIMES, "docker", "podman"):
        return well(f"{program} is there, for {', '.join(pipelines)}")
    try:
        answer = context.run(path, "--version")
        answer.check()
    except CommandError as problem:
        return NO_RUNTIME.seen(str(problem), program=program)
    return well(f"{answer.stdout.strip()}, for {', '.join(pipelines)}")


def _by_setup_lines(context: Context, program: str) -> bool:
    """Tell whether a program that is missing here may come with the job's own environment."""
    missing = shutil.which(program, path=context.environ.get("PATH")) is None
    return missing and not context.on_node and bool(context.config.cluster.setup_lines)


def _binds(context: Context) -> Iterator[Finding]:
    missing = []
    for text in context.config.containers.binds:
        source = text.partition(":")[0]
        if not Path(source).exists():
            missing.append(NO_BIND.seen(f"containers.binds: {source} does not exist"))
    yield from missing or [well("what containers.binds names is there")]


CHECKS = (
    Check("commands", TOPIC, "a command can be built for each pipeline", _commands, (NO_COMMAND,), quick=True),
    Check("runtimes", TOPIC, "runtimes and host tools are there", _runtimes, (NO_RUNTIME,), on_node=True, quick=True),
    Check("binds", TOPIC, "folders of containers.binds", _binds, (NO_BIND,), on_node=True, quick=True),
)
