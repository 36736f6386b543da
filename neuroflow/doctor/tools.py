"""Whether each tool runs: asked for its version, in its image, by the options that its jobs have."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from neuroflow.adapters.bids_conversion import HEURISTIC_TARGET
from neuroflow.adapters.runtimes import command_line
from neuroflow.adapters.tool_answer import TOOLS, read_answer, same_release
from neuroflow.cluster.transport import CompletedCommand
from neuroflow.config.disk import exists
from neuroflow.config.fields import IMAGE_FILE
from neuroflow.doctor.check import Check, Context, Finding, error, skipped, warning, well
from neuroflow.doctor.containers import IMAGE_RUNTIMES, TOPIC, buildable, elsewhere
from neuroflow.doctor.files import BAD_HEURISTIC, conversion_is_on, heuristic_file
from neuroflow.doctor.mounts import existing
from neuroflow.doctor.sample import container_of
from neuroflow.domain import ContainerRun
from neuroflow.errors import CommandError
from neuroflow.orchestrator.registry import Pipeline
from neuroflow.sif import read_sif_header

# The first look into an image of 10 GB on a busy file system takes minutes.
RUN_SECONDS = 240.0
_ASKED = {"qsiparc": "--help"}  # it has no --version
# Why root, or a user without subordinate ids, can't start a container unless in a user namespace of its own.
_USERNS = "--userns"

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
    mend="use the image of the configured version, or set pipelines.{pipeline}.version to '{version}' if the image is "
    "the right one",
)
OTHER_TOOL = error(
    "image-other-tool",
    "an image is another tool's",
    why="another tool would be run with the options of the pipeline's own, and fail or do something else",
    mend="set pipelines.{pipeline}.image to an image of {tool}",
)
NEEDS_USERNS = error(
    "runtime-needs-userns",
    "the container runtime works here in a user namespace only",
    why="every job would fail before its tool starts",
    mend='set containers.runtime_args to ["--userns"]: tried, and it works with it',
)
_IMPORT = (
    "import importlib.util, sys; s = importlib.util.spec_from_file_location('heuristic', sys.argv[1]); "
    "m = importlib.util.module_from_spec(s); s.loader.exec_module(m); m.infotodict"
)


def _images(context: Context) -> Iterator[Finding]:
    for pipeline, run in buildable(context):
        yield _not_runnable(context, run) or _run(context, pipeline, run)
    yield from elsewhere(context)


def _not_runnable(context: Context, run: ContainerRun) -> Finding | None:
    """Return why a tool can't be run here; other checks tell of most of these."""
    name, program = run.pipeline, _program(run)
    if shutil.which(program, path=context.environ.get("PATH")) is None:
        return skipped(f"{name}: {program} is not here")
    if run.runtime in IMAGE_RUNTIMES and run.image is not None and not IMAGE_FILE.is_file(run.image):
        return NOT_LOCAL.seen(f"{name}: {run.image}", runtime=run.runtime, pipeline=name, image=run.image)
    if run.runtime in IMAGE_RUNTIMES and not exists(Path(run.image or "")):
        return skipped(f"{name}: {run.image} is not there")
    return _cut(run) if run.runtime in IMAGE_RUNTIMES else None


def _cut(run: ContainerRun) -> Finding | None:
    """Return that an image is shorter than its header says: the runtime's own words don't tell."""
    image = Path(run.image or "")
    try:
        header, size = (None if image.is_dir() else read_sif_header(image)), image.stat().st_size
    except OSError:
        return None  # the runtime tells why
    if header is None or size >= header.ends_at:
        return None
    words = f"it is cut, or still being copied: it has {size} bytes, and its header says {header.ends_at}"
    mend = f"fetch it again: `neuroflow containers pull {run.pipeline} --force`, or copy it there anew"
    return replace(BROKEN.seen(f"{run.pipeline}: {image}: {words}", command=""), mend=mend)


def _program(run: ContainerRun) -> str:
    return run.program[0] if run.runtime == "host" else run.runtime


def _run(context: Context, pipeline: Pipeline, run: ContainerRun) -> Finding:
    name, program = pipeline.name, _program(run)
    option = _ASKED.get(name, "--version")
    try:
        answer = ask_tool(context, pipeline, option)
    except CommandError as problem:
        said = _last_words(problem)
        if _runs_in_a_namespace(context, pipeline, run, option):
            return NEEDS_USERNS.seen(f"{name}: `{program} … {option}` ended with {problem.returncode}: {said}")
        return BROKEN.seen(
            f"{name}: `{program} … {option}` ended with {problem.returncode}: {said}",
            command=f"{run.runtime} run {run.image} {option}" if run.image else f"{program} {option}",
        )
    return _version(name, run, answer.stdout + answer.stderr)


def _last_words(problem: CommandError) -> str:
    lines = [line.strip() for line in problem.stderr.splitlines() if line.strip()]
    # Not the command itself: it names the container's variables.
    return " / ".join(lines[-3:]) or ("it did not end in time" if problem.timed_out else "it said nothing")


def _runs_in_a_namespace(context: Context, pipeline: Pipeline, run: ContainerRun, option: str) -> bool:
    if run.runtime not in IMAGE_RUNTIMES or _USERNS in run.runtime_args:
        return False
    try:
        ask_tool(context, pipeline, option, runtime_args=(_USERNS,))
    except CommandError:
        return False
    return True


def ask_tool(
    context: Context, pipeline: Pipeline, *words: str, verb: str = "run", runtime_args: tuple[str, ...] = ()
) -> CompletedCommand:
    """Run a pipeline's tool with other arguments, by the options and binds that its jobs have.

    Args:
        context: what checks are given.
        pipeline: whose tool.
        words: the tool's arguments; a whole command with the verb `exec`.
        verb: Apptainer's: `run`, or `exec` for another program of the image.
        runtime_args: further options of the runtime.

    Raises:
        CommandError: when it could not be started, failed, or did not end in time.
    """
    with _folders(context) as folder:
        run = container_of(context, pipeline, folder=folder)
        asked = replace(
            run,
            arguments=words,
            binds=tuple(bind for bind in run.binds if not _comes_later(context, Path(bind.source))),
            runtime_args=(*run.runtime_args, *runtime_args),
        )
        command = command_line(asked, scratch=str(folder / "tmp"))
        if verb != "run":
            command = (command[0], verb, *command[2:])
        return context.run(*command, seconds=RUN_SECONDS).check()


def _comes_later(context: Context, source: Path) -> bool:
    """Tell whether a bind's source is a dataset that earlier runs will make."""
    paths = context.config.paths
    ours = any(source == root or root in source.parents for root in (paths.bids_root, paths.derivatives_root))
    return ours and not exists(source)


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
    answer = read_answer(name, said, expected=run.version)
    told, where = answer.version, run.image or run.program[0]
    if answer.other_tool:
        words = f"{name}: {where} looks like another tool's: it says {answer.other_tool} {told}"
        return OTHER_TOOL.seen(words, pipeline=name, tool=TOOLS.get(name, name))
    if told and run.version and not same_release(told, run.version):
        return OTHER_VERSION.seen(
            f"{name}: it says {told}, the configuration {run.version} ({where})",
            pipeline=name,
            version=told,
        )
    return well(f"{name} runs{f': version {told}' if told else ''}")


def _heuristic(context: Context) -> Iterator[Finding]:
    """Import the heuristic by the Python beside HeudiConv, on the host or in the image."""
    found = next(((pipeline, run) for pipeline, run in buildable(context) if run.pipeline == "bids_conversion"), None)
    if found is None or (found[1].runtime not in (*IMAGE_RUNTIMES, "host")):
        yield skipped("it can't be imported where HeudiConv runs")
        return
    pipeline, run = found
    file = heuristic_file(context)
    if run.runtime != "host" and (reason := _not_runnable(context, run)) is not None:
        yield skipped(reason.what)
        return
    python = Path(run.program[0]).parent / "python"
    if run.runtime == "host" and not (python.is_absolute() and python.exists()):
        yield skipped(f"there is no Python beside {run.program[0]}")
        return
    try:
        if run.runtime == "host":
            context.run(str(python), "-I", "-B", "-c", _IMPORT, str(file)).check()
        else:
            ask_tool(context, pipeline, "python3", "-B", "-c", _IMPORT, HEURISTIC_TARGET, verb="exec")
    except CommandError as problem:
        words = _last_words(problem).rpartition(" / ")[2]
        # A container that does not start is told of by `images`.
        if "Traceback" in problem.stderr:
            yield _bad_heuristic(file, words, run)
        else:
            yield skipped(f"no Python could be run beside HeudiConv: {words}")
        return
    yield well(f"{file} can be imported where HeudiConv runs")


def _bad_heuristic(file: Path, words: str, run: ContainerRun) -> Finding:
    finding = BAD_HEURISTIC.seen(f"{file}: {words}", file=file)
    if not words.startswith("ModuleNotFoundError"):
        return finding
    where = f"the image {run.image}" if run.image else f"the Python beside {run.program[0]}"
    return replace(finding, mend=f"the module is not in {where}, which runs {file}: put it there, or do without it")


CHECKS = (
    Check(
        "images",
        TOPIC,
        "each tool runs, in its image (--version)",
        _images,
        (NOT_LOCAL, BROKEN, OTHER_VERSION, OTHER_TOOL, NEEDS_USERNS),
        on_node=True,
        seconds=4 * RUN_SECONDS + 60,
    ),
    Check(
        "heuristic-import",
        TOPIC,
        "HeudiConv's heuristic can be imported where it runs",
        _heuristic,
        (BAD_HEURISTIC,),
        needs=("heuristic",),
        applies=conversion_is_on,
        on_node=True,
        seconds=RUN_SECONDS + 30,
    ),
)
