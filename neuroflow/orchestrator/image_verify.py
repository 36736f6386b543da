"""Check an image: whole, the one that it should be, and able to run the tool in the version that is configured."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from neuroflow.adapters.runtimes import command_line
from neuroflow.adapters.runtimes.execute import Answer, ask
from neuroflow.adapters.runtimes.images import FILE_RUNTIMES, read_signature, signature_command
from neuroflow.adapters.tool_answer import TOOLS, ToolAnswer, read_answer, same_release
from neuroflow.adapters.versions import NEED_VERSION, tool_version
from neuroflow.domain import Bind, ContainerRun, ImageRecord, told
from neuroflow.errors import AdapterError, CommandError
from neuroflow.orchestrator.image_report import labels_of, why_not_seen
from neuroflow.orchestrator.images import ImageBusy, PipelineImage, configured_image, see, with_digest
from neuroflow.orchestrator.registry import Pipeline
from neuroflow.orchestrator.services import Services

VERSION_SECONDS = 300.0  # a Python of some thousand modules, read for the first time from a slow file system
_VERSION_LABEL = "org.opencontainers.image.version"


@dataclass(frozen=True)
class Problem:
    """What is wrong with an image, and what mends it."""

    pipeline: str
    what: str
    hint: str
    is_change: bool = False  # accepting the image settles it


@dataclass
class ImageCheck:
    """What a check of one pipeline's image found."""

    pipeline: str
    image: str | None
    record: ImageRecord | None = None
    version: str = ""  # as the tool said
    signature: str = ""
    problems: list[Problem] = field(default_factory=list)


def verify_image(
    services: Services, pipeline: Pipeline, *, progress: Callable[[int], object] | None = None
) -> ImageCheck:
    """Check a pipeline's image in every way; reads the file whole once in its life."""
    image = configured_image(services, pipeline)
    check = ImageCheck(pipeline.name, image.name if image is not None else None)
    if image is None:
        check.problems += _not_set(services, pipeline)
        return check
    record = see(services, pipeline)
    if record is None:
        there = " --force" if image.is_file and Path(image.name).exists() else ""
        hint = f"`neuroflow containers pull {pipeline.name}{there}` makes it"
        check.problems.append(Problem(pipeline.name, f"{image.name}: {why_not_seen(image)}", hint))
        return check
    check.record = record
    check.problems += _integrity(image)
    if check.problems:
        return check
    try:
        check.record = record = with_digest(services.state, image, record, progress=progress)
    except (AdapterError, ImageBusy) as error:
        hint = error.hint if isinstance(error, AdapterError) else "try again later"
        check.problems.append(Problem(pipeline.name, str(error), hint))
    check.problems += _sameness(services, image, record)
    check.signature, bad = _signature(image)
    if bad:
        hint = "fetch the image again: it is not what its author signed"
        check.problems.append(Problem(pipeline.name, f"{image.name}: {bad}", hint))
    check.version = _run_version(services, pipeline, image, check)
    if check.version:
        services.state.set_tool_version(record.id, check.version)
    return check


def _not_set(services: Services, pipeline: Pipeline) -> Iterator[Problem]:
    if (pipeline.settings.runtime or services.config.containers.runtime) != "host":
        what = f"pipelines.{pipeline.name}.image is not set"
        yield Problem(pipeline.name, what, "name the image's file there, or set its runtime to `host`")


def _integrity(image: PipelineImage) -> Iterator[Problem]:
    _, problem = labels_of(image)
    if problem:
        hint = f"fetch it again: `neuroflow containers pull {image.pipeline} --force`"
        yield Problem(image.pipeline, f"{image.name}: {problem}", hint)


def _sameness(services: Services, image: PipelineImage, record: ImageRecord) -> Iterator[Problem]:
    key = f"pipelines.{image.pipeline}.image_digest"
    if image.pin is not None:
        if record.digest and image.pin not in (record.digest, record.identity):
            what = f"{image.name} has {record.digest}, and {key} is {image.pin}"
            yield Problem(image.pipeline, what, f"put the right image there under a new name, or correct {key}")
        return
    if not record.changed:
        return
    before = services.state.expected_image(record.name)
    was = f"it was {told(before)}, and is {told(record)}" if before is not None else f"it is {told(record)}"
    what = f"{image.name} is another image since {record.first_seen_at:%Y-%m-%d %H:%M} UTC: {was}"
    hint = f"if it is meant: `neuroflow containers verify {image.pipeline} --accept`"
    yield Problem(image.pipeline, what, hint, is_change=True)


def _signature(image: PipelineImage) -> tuple[str, str]:
    """Return what to say of an image's signature, and what is wrong with it."""
    if image.runtime not in FILE_RUNTIMES or not Path(image.name).is_file():
        return "", ""
    try:
        answer = ask(signature_command(image.runtime, image.name), timeout=VERSION_SECONDS)
    except CommandError as error:
        return "", str(error)
    return read_signature(answer.exit_code, answer.stdout + answer.stderr)


def _run_version(services: Services, pipeline: Pipeline, image: PipelineImage, check: ImageCheck) -> str:
    """Run the tool in its image, as an attempt would, and compare its version with the configured one."""
    expected = tool_version(pipeline.name, image=image.name, version=pipeline.settings.version)
    try:
        answer = _run_tool(services, pipeline, image, "--version")
        told = ToolAnswer()
        if answer.exit_code == 0:
            told = read_answer(pipeline.name, answer.stdout + answer.stderr, expected=expected)
        said = told.version
        if not said:  # QSIParc 0.1.2 does not know --version; the image's label may
            answer = _run_tool(services, pipeline, image, "--help")
            said = labels_of(image)[0].get(_VERSION_LABEL, "")
    except (AdapterError, CommandError) as error:
        hint = error.hint or "try the image by hand"
        check.problems.append(Problem(pipeline.name, f"{image.name} does not run: {error}", hint))
        return ""
    if answer.exit_code != 0:
        what = f"the tool in {image.name} does not run: exit code {answer.exit_code}, {answer.last_line}"
        check.problems.append(Problem(pipeline.name, what, "try the image by hand; is it the right tool's?"))
        return ""
    if told.other_tool:
        what = f"{image.name} looks like another tool's image: it says {told.other_tool} {said}"
        hint = f"set pipelines.{pipeline.name}.image to an image of {TOOLS.get(pipeline.name, pipeline.name)}"
        check.problems.append(Problem(pipeline.name, what, hint))
        return ""
    needed = pipeline.name in NEED_VERSION
    agree = bool(said) and expected is not None and same_release(said, expected)
    if (said or needed) and not agree and (needed or expected is not None):
        told_by = f"pipelines.{pipeline.name}.version, or the image's name, says {expected}" if expected else ""
        what = f"{image.name} holds version {said or 'unknown'}, and " + (
            told_by or "neither the name nor the configuration says so"
        )
        other = f"use the image of version {expected}, or " if expected is not None else ""
        hint = f"{other}set pipelines.{pipeline.name}.version to '{said}' if the image is the right one"
        check.problems.append(Problem(pipeline.name, what, hint if said else "see whether it is the right image"))
    return said


def _run_tool(services: Services, pipeline: Pipeline, image: PipelineImage, argument: str) -> Answer:
    with tempfile.TemporaryDirectory(prefix="neuroflow-verify-", ignore_cleanup_errors=True) as folder:
        run = _version_run(services, pipeline, image, argument=argument, folder=folder)
        return ask(command_line(run, scratch=folder), timeout=VERSION_SECONDS)


def _version_run(
    services: Services, pipeline: Pipeline, image: PipelineImage, *, argument: str, folder: str
) -> ContainerRun:
    containers, settings = services.config.containers, pipeline.settings
    return ContainerRun(
        pipeline=pipeline.name,
        runtime=image.runtime,
        image=image.name,
        version=None,
        program=(),
        arguments=(argument,),
        binds=(Bind(folder, "/work", read_only=False),),
        environment={"NO_ET": "1", "PYTHONNOUSERSITE": "1", **containers.environment, **settings.environment},
        output_dir=folder,
        work_dir=folder,
        publish_dir=folder,
        owned=(),
        outputs=(),
        runtime_args=(*containers.runtime_args, *settings.runtime_args),
    )
