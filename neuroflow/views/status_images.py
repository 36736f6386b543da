"""The pipelines whose image is another one than was accepted: looked at, compared, and not written down."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from neuroflow.adapters.runtimes.images import ENGINES
from neuroflow.core.service_reads import image_history
from neuroflow.domain import ImageRecord, is_same_content, told
from neuroflow.orchestrator.image_look import PipelineImage, image_of, look_at
from neuroflow.orchestrator.place import Place

if TYPE_CHECKING:
    from collections.abc import Iterable

    from neuroflow.config import NeuroflowConfig
    from neuroflow.core.reading import Reader
    from neuroflow.orchestrator.registry import Pipeline


@dataclass(frozen=True)
class ChangedImage:
    """An image that took another's place, and that nobody has accepted."""

    pipeline: str
    image: str
    now: str
    since: datetime | None  # when it was first seen; None: just now, and no launch has seen it yet


def changed_images(config: NeuroflowConfig, reader: Reader, pipelines: Iterable[Pipeline]) -> list[ChangedImage]:
    """Return the images that are other ones than the accepted ones, of enabled pipelines."""
    found = []
    for pipeline in pipelines:
        image = image_of(config, pipeline) if pipeline.enabled else None
        where = config.cluster.kind if pipeline.where == "cluster" else pipeline.where
        # A file of the same name here is another one.
        if image is None or Place.of(config, where=where).is_remote:
            continue
        changed = _changed(image, image_history(reader, image.name))
        if changed is not None:
            found.append(changed)
    return found


def _changed(image: PipelineImage, history: list[ImageRecord]) -> ChangedImage | None:
    # docker and podman take a moment to answer: what the last launch saw has to do.
    facts = None if image.runtime in ENGINES else look_at(image)
    if facts is None:
        record = history[-1] if history else None
    else:
        record = next((one for one in history if one.stamp == facts.stamp), None)
    if record is not None:
        is_other = record.changed and record.digest != image.pin
        return ChangedImage(image.pipeline, image.name, told(record), record.first_seen_at) if is_other else None
    accepted = [one for one in history if one.accepted_at is not None]
    if facts is None or not accepted:
        return None
    expected = max(accepted, key=lambda one: (one.accepted_at or one.first_seen_at, one.id))
    if is_same_content(expected, facts):
        return None
    return ChangedImage(image.pipeline, image.name, told(facts), None)
