"""The images of the pipelines: what they are now, whether they are what they were, and whether they may run."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from neuroflow.domain import ImageRecord, told
from neuroflow.errors import AdapterError
from neuroflow.orchestrator.image_look import ENGINE_SECONDS, PipelineImage, image_of, look_at
from neuroflow.orchestrator.lease import lease
from neuroflow.orchestrator.place import Place

if TYPE_CHECKING:
    from collections.abc import Callable

    from neuroflow.core.state import StateManager
    from neuroflow.orchestrator.registry import Pipeline
    from neuroflow.orchestrator.services import Services

__all__ = ["ENGINE_SECONDS", "ImageBusy", "PipelineImage", "image_of", "look_at"]

log = structlog.get_logger(__name__)

_CHUNK_BYTES = 8 * 1024 * 1024


class ImageBusy(Exception):
    """Another process reads the image for its digest; ask again later."""


def configured_image(services: Services, pipeline: Pipeline) -> PipelineImage | None:
    """Return the image that a pipeline's attempts are made with, None on the host or where none is set."""
    return image_of(services.config, pipeline)


def see(services: Services, pipeline: Pipeline) -> ImageRecord | None:
    """Write down what a pipeline's image is now, and warn when it is another one than before."""
    if Place.of(services.config, where=services.where(pipeline)).is_remote:
        return None  # a file of the same name here is another one
    image = configured_image(services, pipeline)
    facts = look_at(image) if image is not None else None
    if image is None or facts is None:
        return None
    record, changed_now = services.state.record_image(facts)
    if changed_now:
        _warn(services.state, image, record)
    return record


def check_pin(services: Services, pipeline: Pipeline) -> None:
    """Refuse an image that is not the one that `image_digest` names; the first time that reads it whole.

    Raises:
        AdapterError: when it is another one, or can't be read.
        ImageBusy: when another process is reading it.
    """
    image = configured_image(services, pipeline)
    if image is None or image.pin is None:
        return
    key = f"pipelines.{pipeline.name}.image_digest"
    record = see(services, pipeline)
    if record is None:
        raise AdapterError(
            f"{image.name} can't be read here, so that {key} can't be checked",
            hint=f"see `neuroflow containers list`; without {key} an image is used as it is",
        )
    digest = record.digest or with_digest(services.state, image, record).digest
    if image.pin in (digest, record.identity):
        services.state.accept_image(record.id)  # whoever wrote the pin has said that this is the right one
        return
    found = digest or record.identity or "no digest, as a folder"
    raise AdapterError(
        f"{image.name} is not the image that {key} names: it has {found}, not {image.pin}",
        hint=f"put the right image there under a new name, or correct {key} if this one is meant",
    )


def with_digest(
    state: StateManager, image: PipelineImage, record: ImageRecord, *, progress: Callable[[int], object] | None = None
) -> ImageRecord:
    """Return an image's record with its digest, reading the file once in its life; what is no file has none.

    Raises:
        AdapterError: when it can't be read, or changed meanwhile.
        ImageBusy: when another process is reading it.
    """
    if record.digest or not image.is_file or Path(image.name).is_dir():
        return record
    with lease(state, f"image-digest:{record.id}") as mine:
        if not mine:
            raise ImageBusy(f"another process is reading {image.name} for its digest")
        try:
            digest = sha256_of(Path(image.name), progress=progress)
        except OSError as error:
            raise AdapterError(f"{image.name} can't be read: {error.strerror}", hint="check its permissions") from error
        now = look_at(image)
        if now is None or now.stamp != record.stamp:
            raise AdapterError(f"{image.name} changed while it was read", hint="wait until whoever writes it is done")
        found, changed_now = state.set_image_digest(record.id, digest)
    if changed_now:
        _warn(state, image, found)
    return found


def sha256_of(path: Path, *, progress: Callable[[int], object] | None = None) -> str:
    """Return `sha256:` and the digest of a file, without pushing everything else out of the page cache."""
    total = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        done = 0
        while chunk := file.read(_CHUNK_BYTES):
            total.update(chunk)
            os.posix_fadvise(file.fileno(), done, len(chunk), os.POSIX_FADV_DONTNEED)
            done += len(chunk)
            if progress is not None:
                progress(len(chunk))
    return f"sha256:{total.hexdigest()}"


def read_digests(services: Services) -> int:
    """Read each pipeline's image for its digest where it is not known yet; return how many were read."""
    count = 0
    for pipeline in services.registry:
        image = configured_image(services, pipeline)
        record = see(services, pipeline) if pipeline.enabled else None
        if image is None or record is None or record.digest:
            continue
        try:
            count += bool(with_digest(services.state, image, record).digest)
        except (AdapterError, ImageBusy) as error:
            log.warning("image.not_read", pipeline=pipeline.name, image=image.name, problem=str(error))
    return count


def _warn(state: StateManager, image: PipelineImage, record: ImageRecord) -> None:
    before = state.expected_image(record.name)
    log.warning(
        "image.changed",
        pipeline=image.pipeline,
        image=image.name,
        before=told(before) if before is not None else None,
        after=told(record),
        hint="`neuroflow containers verify --accept` takes it as the right one",
    )
