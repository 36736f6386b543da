"""Whether each image is the one that it was, and the one that its pin names; only reads what is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from neuroflow.core.state import StateManager
from neuroflow.doctor.check import Check, Context, Finding, error, skipped, warning, well
from neuroflow.doctor.containers import TOPIC
from neuroflow.doctor.database import opened
from neuroflow.doctor.sample import enabled, works_here
from neuroflow.domain import ImageFacts, is_same_content, told
from neuroflow.orchestrator.images import PipelineImage, image_of, look_at, sha256_of

# The first look reads an image of 10 GB whole, where a pin is set.
READ_SECONDS = 900.0

OFF_PIN = error(
    "image-off-pin",
    "an image is not the one that image_digest names, or can't be compared with it",
    why="no run of the pipeline starts with it",
    mend="put the right image there under a new name, or correct pipelines.{pipeline}.image_digest; behind SSH, where "
    "images are not seen from here, leave it out",
)
CHANGED = warning(
    "image-changed",
    "an image is another one than before, under the same name",
    why="results before and after are made by different software, and say the same version",
    mend="neuroflow containers verify {pipeline} --accept, if it is meant; otherwise put the former one back",
)


def _images(context: Context) -> Iterator[Finding]:
    found = []
    with opened(context) as database:
        state = StateManager(database)
        for pipeline in enabled(context.config):
            image = image_of(context.config, pipeline)
            if image is None:
                continue
            if works_here(context, pipeline):
                found += list(_one(state, image))
            elif image.pin is not None:
                words = f"{pipeline.name}: {image.name} is on the cluster, and can't be compared with its pin from here"
                found.append(OFF_PIN.seen(words, pipeline=pipeline.name))
    yield from found or [skipped("no image is seen here")]


def _one(state: StateManager, image: PipelineImage) -> Iterator[Finding]:
    facts = look_at(image)
    if facts is None:
        return  # other checks tell why
    name = image.pipeline
    if image.pin is not None:
        digest = _digest(state, image, facts)
        if digest == image.pin:
            yield well(f"{name}: {image.name} is the one that is pinned")
        else:
            words = f"{image.name} has {digest or 'no digest'}, and image_digest is {image.pin}"
            yield OFF_PIN.seen(f"{name}: {words}", pipeline=name)
        return
    before = state.expected_image(image.name)
    if before is None:
        yield well(f"{name}: {image.name} was not seen before")
    elif _is_changed(state, facts):
        words = f"{image.name} was {told(before)}, and is {told(facts)}"
        yield CHANGED.seen(f"{name}: {words}", pipeline=name)
    else:
        yield well(f"{name}: {image.name} is {told(before)}, as before")


def _is_changed(state: StateManager, facts: ImageFacts) -> bool:
    """Judge a sight as a launch would; of one that was written down, its digest may have told more."""
    for record in state.image_history(facts.name):
        if record.stamp == facts.stamp:
            return record.changed
    before = state.expected_image(facts.name)
    return before is not None and not is_same_content(before, facts)


def _digest(state: StateManager, image: PipelineImage, facts: ImageFacts) -> str:
    known = next((one.digest for one in state.image_history(image.name) if one.stamp == facts.stamp), "")
    if known or facts.digest or not image.is_file or Path(image.name).is_dir():
        return known or facts.digest
    return sha256_of(Path(image.name))


CHECKS = (
    Check(
        "images-same",
        TOPIC,
        "each image is the one that it was, and its pin's",
        _images,
        (OFF_PIN, CHANGED),
        needs=("database-schema",),
        seconds=READ_SECONDS,
    ),
)
