"""What is known of a pipeline's image, for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from neuroflow.adapters.runtimes.execute import ask
from neuroflow.adapters.runtimes.images import FILE_RUNTIMES, inspect_command, parse_labels, parse_stored_image
from neuroflow.adapters.versions import tool_version
from neuroflow.domain import ImageRecord
from neuroflow.errors import CommandError
from neuroflow.orchestrator.images import ENGINE_SECONDS, PipelineImage, configured_image, see
from neuroflow.orchestrator.registry import Pipeline
from neuroflow.orchestrator.services import Services
from neuroflow.sif import read_sif_header


@dataclass(frozen=True)
class ImageReport:
    """One pipeline's image as it is now, and what was recorded under its name."""

    pipeline: str
    runtime: str
    image: str | None
    present: bool = False
    version: str | None = None  # as configured, or as the name tells
    tool_version: str = ""  # as the tool said
    image_id: str = ""
    digest: str = ""
    pin: str | None = None
    size: int | None = None  # bytes
    changed: bool = False  # another one than the accepted one, or than the pin
    changed_since: datetime | None = None
    attempts: int = 0  # that were made with exactly this image
    problem: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    history: tuple[ImageRecord, ...] = ()  # what was seen under this name, first to last


def image_report(services: Services, pipeline: Pipeline, *, uses: Mapping[int, int]) -> ImageReport:
    """Gather it; a changed image is written down, as with a launch.

    Args:
        uses: how many attempts were made with each image, by the id of its record.
    """
    settings = pipeline.settings
    runtime = settings.runtime or services.config.containers.runtime
    image = configured_image(services, pipeline)
    version = tool_version(pipeline.name, image=settings.image, version=settings.version)
    if image is None:
        problem = "" if runtime == "host" else f"pipelines.{pipeline.name}.image is not set"
        return ImageReport(pipeline.name, runtime, None, version=version, problem=problem)
    record = see(services, pipeline)
    if record is None:
        return ImageReport(
            pipeline.name, runtime, image.name, version=version, pin=image.pin, problem=why_not_seen(image)
        )
    labels, problem = labels_of(image)
    off_pin = image.pin is not None and bool(record.digest) and image.pin not in (record.digest, record.identity)
    return ImageReport(
        pipeline.name,
        runtime,
        image.name,
        present=True,
        version=version,
        tool_version=record.tool_version,
        image_id=record.identity,
        digest=record.digest,
        pin=image.pin,
        size=record.size,
        changed=record.changed or off_pin,
        changed_since=record.first_seen_at if record.changed or off_pin else None,
        attempts=uses.get(record.id, 0),
        problem=problem,
        labels=labels,
        history=tuple(services.state.image_history(image.name)),
    )


def why_not_seen(image: PipelineImage) -> str:
    """Say why an image can't be looked at."""
    if image.runtime not in FILE_RUNTIMES:
        return f"{image.runtime} has no image of this name here, or can't be asked"
    if not image.is_file:
        return f"a reference, which {image.runtime} would fetch in each job: name a SIF file"
    path = Path(image.name)
    try:
        size = path.stat().st_size
    except OSError as error:
        return f"it can't be found: {error.strerror}"
    try:
        header = read_sif_header(path)
    except OSError as error:
        return f"it can't be read: {error.strerror}"
    if header is not None and size < header.ends_at:
        return f"it is cut, or still being copied: it has {size} bytes, and its header says {header.ends_at}"
    return "it could not be read a moment ago"


def labels_of(image: PipelineImage) -> tuple[dict[str, str], str]:
    """Return an image's labels, or why it does not open."""
    try:
        answer = ask(inspect_command(image.runtime, image.name), timeout=ENGINE_SECONDS)
    except CommandError as error:
        return {}, str(error)
    if answer.exit_code != 0:
        return {}, f"{image.runtime} can't open it: {answer.last_line}"
    if image.runtime in FILE_RUNTIMES:
        return parse_labels(answer.stdout), ""
    stored = parse_stored_image(answer.stdout)
    return dict(stored.labels) if stored is not None else {}, ""
