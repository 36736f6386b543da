"""Where the numbers of a report come from: versions, images, settings, database."""

from __future__ import annotations

import platform
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import neuroflow
from neuroflow.config.show import as_yaml
from neuroflow.domain import AttemptStatus
from neuroflow.domain.history import History

if TYPE_CHECKING:
    from neuroflow.orchestrator.services import Services


@dataclass(frozen=True)
class ToolUse:
    """One release of a pipeline's tool, and how many of its attempts succeeded."""

    pipeline: str
    version: str
    image: str
    digest: str
    attempts: int


@dataclass(frozen=True)
class Provenance:
    """What a reader needs to know to trust, or to make again, what the page shows."""

    neuroflow: str
    python: str
    host: str
    database: str  # without its password
    revision: str
    config_files: tuple[str, ...]
    config_digest: str
    settings: str  # YAML, without secrets
    tools: tuple[ToolUse, ...]


def provenance_of(services: Services, history: History) -> Provenance:
    """Gather it; the images are those that the database knows, and none is looked at."""
    return Provenance(
        neuroflow=neuroflow.__version__,
        python=".".join(str(part) for part in sys.version_info[:3]),
        host=platform.node(),
        database=services.database.name,
        revision=services.database.current() or "",
        config_files=tuple(str(path) for path in services.config.files),
        config_digest=services.config.digest,
        settings=as_yaml(services.config),
        tools=tuple(_tools(services, history)),
    )


def _tools(services: Services, history: History) -> Sequence[ToolUse]:
    pipeline_of = {run.id: run.pipeline for run in history.runs}
    uses: Counter[tuple[str, str, int | None]] = Counter(
        (pipeline_of[attempt.run_id], attempt.image_version, attempt.image_record_id)
        for attempt in history.attempts
        if attempt.status is AttemptStatus.SUCCEEDED and attempt.run_id in pipeline_of
    )
    images = services.state.get_images({key[2] for key in uses if key[2] is not None})
    order = {name: number for number, name in enumerate(services.registry.names())}
    found = []
    for (pipeline, version, image_id), count in uses.items():
        image = images.get(image_id) if image_id is not None else None
        found.append(
            ToolUse(
                pipeline,
                (image.tool_version if image is not None else "") or version,
                image.name if image is not None else "",
                (image.digest or image.identity) if image is not None else "",
                count,
            )
        )
    return sorted(found, key=lambda use: (order.get(use.pipeline, len(order)), -use.attempts, use.version))
