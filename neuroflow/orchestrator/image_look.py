"""Look at a pipeline's image without reading it whole, and without writing anything down."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from neuroflow.adapters.runtimes.execute import ask
from neuroflow.adapters.runtimes.images import ENGINES, FILE_RUNTIMES, inspect_command, parse_stored_image
from neuroflow.domain import ImageFacts
from neuroflow.errors import CommandError
from neuroflow.sif import read_sif_header

if TYPE_CHECKING:
    from neuroflow.config import NeuroflowConfig
    from neuroflow.orchestrator.registry import Pipeline

ENGINE_SECONDS = 30.0


@dataclass(frozen=True)
class PipelineImage:
    """What a configuration says of one pipeline's image."""

    pipeline: str
    runtime: str
    name: str  # the file or reference
    pin: str | None  # the digest that it must have

    @property
    def is_file(self) -> bool:
        """Whether it is meant to be a file or folder, and not something that a runtime fetches."""
        return self.runtime in FILE_RUNTIMES and "://" not in self.name


def image_of(config: NeuroflowConfig, pipeline: Pipeline) -> PipelineImage | None:
    """Return what a configuration says of a pipeline's image, None on the host or where none is set."""
    settings = pipeline.settings
    runtime = settings.runtime or config.containers.runtime
    if runtime == "host" or settings.image is None:
        return None
    return PipelineImage(pipeline.name, runtime, settings.image, settings.image_digest)


def look_at(image: PipelineImage) -> ImageFacts | None:
    """Return what an image is now, by one stat and its first 128 bytes; None where it can't be seen from here.

    docker and podman are asked, which takes them a moment.
    """
    if image.runtime in ENGINES:
        return _stored(image)
    if not image.is_file:
        return None
    try:
        status = Path(image.name).stat()
        header = read_sif_header(image.name) if not Path(image.name).is_dir() else None
    except (OSError, ValueError):
        return None
    if header is not None and status.st_size < header.ends_at:
        return None  # cut, or still being copied: no image yet
    return ImageFacts(
        image.name,
        stamp=f"{status.st_size}:{status.st_mtime_ns}:{status.st_ino}:{header.sif_id if header else ''}",
        identity=header.sif_id if header else "",
        size=status.st_size,
    )


def _stored(image: PipelineImage) -> ImageFacts | None:
    try:
        answer = ask(inspect_command(image.runtime, image.name), timeout=ENGINE_SECONDS)
    except CommandError:
        return None
    found = parse_stored_image(answer.stdout) if answer.exit_code == 0 else None
    if found is None:
        return None
    return ImageFacts(image.name, found.image_id, found.image_id, found.size, found.digest)
