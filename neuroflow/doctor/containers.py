"""Whether each pipeline's tool can be run: its command, its runtime, its image, by running it."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neuroflow.adapters.runtimes import command_line
from neuroflow.config.fields import IMAGE_FILE
from neuroflow.doctor.check import Check, Context, Finding, error, skipped, warning, well
from neuroflow.doctor.mounts import existing
from neuroflow.doctor.sample import container_of, enabled, with_arguments
from neuroflow.domain import ContainerRun
from neuroflow.errors import AdapterError, CommandError
from neuroflow.orchestrator.registry import Pipeline

TOPIC = "containers"
# The first look into an image of 10 GB on a busy file system takes minutes.
RUN_SECONDS = 240.0
IMAGE_RUNTIMES = ("apptainer", "singularity")
_ASKED = {"qsiparc": "--help"}  # it has no --version
_RELEASE = re.compile(r"(?<![0-9.])v?(\d+\.\d+(?:\.\d+)?)")

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
NOT_LOCAL = warning(
    "image-not-a-file",
    "an image is a reference, not a SIF file",
    why="each job would pull it anew, and compute nodes mostly have no network",
    mend="{runtime} pull /shared/containers/{pipeline}.sif {image}, and set pipelines.{pipeline}.image to that file",
)
BROKEN = error(
    "image-not-runnable",
    "a tool does not start",
    why="every run of the pipeline would fail in the same way",
    mend="run it by hand: {command}",
)
OTHER_VERSION = warning(
    "image-other-version",
    "a tool says another version than the configuration",
    why="options differ between releases, and go by the configured version",
    mend="set pipelines.{pipeline}.version to '{version}', or use the image of the configured version",
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


def _buildable(context: Context) -> Iterator[tuple[Pipeline, ContainerRun]]:
    """Yield the pipelines for which a command can be built; the others are `command-impossible` already."""
    for pipeline in enabled(context.config):
        try:
            yield pipeline, container_of(context.config, pipeline)
        except AdapterError:
            continue


def _runtimes(context: Context) -> Iterator[Finding]:
    programs: dict[str, list[str]] = {}
    for pipeline, run in _buildable(context):
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


def _images(context: Context) -> Iterator[Finding]:
    for pipeline, run in _buildable(context):
        yield _run(context, pipeline, run)


def _run(context: Context, pipeline: Pipeline, run: ContainerRun) -> Finding:
    name = pipeline.name
    program = run.program[0] if run.runtime == "host" else run.runtime
    if shutil.which(program, path=context.environ.get("PATH")) is None:
        return skipped(f"{name}: {program} is not here")
    if run.runtime in IMAGE_RUNTIMES and run.image is not None and not IMAGE_FILE.is_file(run.image):
        return NOT_LOCAL.seen(f"{name}: {run.image}", runtime=run.runtime, pipeline=name, image=run.image)
    if run.runtime in IMAGE_RUNTIMES and not Path(run.image or "").exists():
        return skipped(f"{name}: {run.image} is not there")
    with _folders(context) as folder:
        option = _ASKED.get(name, "--version")
        asked = with_arguments(container_of(context.config, pipeline, folder=folder), option)
        command = command_line(asked, scratch=str(folder / "tmp"))
        try:
            answer = context.run(*command, seconds=RUN_SECONDS)
            answer.check()
        except CommandError as problem:
            lines = [line.strip() for line in problem.stderr.splitlines() if line.strip()]
            said = " / ".join(lines[-3:]) or str(problem)
            return BROKEN.seen(
                f"{name}: `{program} … {option}` ended with {problem.returncode}: {said}",
                command=f"{run.runtime} run {run.image} {option}" if run.image else f"{program} {option}",
            )
    return _version(name, run, answer.stdout + answer.stderr)


@contextmanager
def _folders(context: Context) -> Iterator[Path]:
    """Make the folders that a run binds, for as long as it lasts."""
    with tempfile.TemporaryDirectory(
        prefix=".neuroflow-doctor-", dir=existing(context.config.paths.work_root), ignore_cleanup_errors=True
    ) as made:
        for name in ("work", "out", "tmp"):
            os.mkdir(f"{made}/{name}")  # noqa: PTH102
        yield Path(made)


def _version(name: str, run: ContainerRun, said: str) -> Finding:
    match = _RELEASE.search(said)
    told = match[1] if match else ""
    if told and run.version and not told.startswith(run.version) and not run.version.startswith(told):
        return OTHER_VERSION.seen(
            f"{name}: it says {told}, the configuration {run.version} ({run.image or run.program[0]})",
            pipeline=name,
            version=told,
        )
    return well(f"{name} runs{f': version {told}' if told else ''}")


CHECKS = (
    Check("commands", TOPIC, "a command can be built for each pipeline", _commands, (NO_COMMAND,), quick=True),
    Check("runtimes", TOPIC, "runtimes and host tools are there", _runtimes, (NO_RUNTIME,), on_node=True, quick=True),
    Check("binds", TOPIC, "folders of containers.binds", _binds, (NO_BIND,), on_node=True, quick=True),
    Check(
        "images",
        TOPIC,
        "each image runs (--version)",
        _images,
        (NOT_LOCAL, BROKEN, OTHER_VERSION),
        on_node=True,
        seconds=4 * RUN_SECONDS + 60,
    ),
)
