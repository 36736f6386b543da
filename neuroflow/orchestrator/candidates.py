"""One partition as a place for a request: whether it takes it, and how far the request may grow there."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from neuroflow.config.execution import Limits
from neuroflow.domain import NodeGroup, Resources
from neuroflow.domain.gres import gpus_of

Part = Literal["cpus", "memory_mb", "time_minutes"]
PARTS: tuple[Part, ...] = ("cpus", "memory_mb", "time_minutes")

_FEATURE = r"[\w.:-]+"
_ALL_OF = re.compile(rf"{_FEATURE}(?:&{_FEATURE})*")
_ANY_OF = re.compile(rf"{_FEATURE}(?:\|{_FEATURE})*")


@dataclass(frozen=True)
class Candidate:
    """A partition, with what is known of it."""

    name: str
    limits: Limits  # of the configuration and of SLURM; None where no limit is known
    nodes: tuple[NodeGroup, ...] | None = None  # that have the features asked for; None: not known
    gpu_type: str | None = None  # that is asked for
    wants_gpus: bool = False  # the configuration says that it is for jobs on GPUs
    is_default: bool = False
    state: str = "UP"
    refusal: str = ""  # why no job may go there whatever it asks for

    @property
    def is_for_gpus(self) -> bool:
        """Tell whether a job without a GPU would keep one from others."""
        return self.wants_gpus or (bool(self.nodes) and all(gpus_of(group.gres) for group in self.nodes or ()))

    def takes(self, request: Resources) -> bool:
        """Tell whether a request fits."""
        limits = self.limits
        if any(not _fits(getattr(request, part), getattr(limits, part)) for part in PARTS):
            return False
        if request.gpus and limits.gpus is None and self.nodes is None:
            return False  # nobody says that it has any
        return _fits(request.gpus, limits.gpus) and (self.nodes is None or any(self._fitting(request)))

    def most(self, part: Part, request: Resources) -> float | None:
        """Return how large one part of a request may be while the others stay; None where these don't fit.

        Infinity stands for no limit.
        """
        smallest = _with_one(part, request)
        if not self.takes(smallest):
            return None
        limit = getattr(self.limits, part)
        most = math.inf if limit is None else float(limit)
        if part == "time_minutes" or self.nodes is None:
            return most
        return min(most, max(float(getattr(group, part)) for group in self._fitting(smallest)))

    def in_words(self) -> str:
        """Say what it takes, or why it takes nothing."""
        if self.refusal:
            return f"{self.name}: {self.refusal}"
        if self.nodes is not None and not self.nodes:
            return f"{self.name}: none of its nodes has the features asked for"
        sizes = [
            f"{size:g} {unit}"
            for part, unit in zip(PARTS, ("cores", "MiB", "min"), strict=True)
            if (size := self.largest(part)) != math.inf
        ]
        gpus = max((gpus_of(group.gres, kind=self.gpu_type) for group in self.nodes or ()), default=0)
        sizes.append(f"{self.limits.gpus if self.limits.gpus is not None else gpus} GPUs")
        state = "" if self.state == "UP" else f" (it is {self.state})"
        return f"{self.name}{state}: at most {', '.join(sizes)}"

    def order(self) -> tuple[float, float, float, bool, str]:
        """Return what the smaller of two is known by: a short partition starts sooner, a small node is freer."""
        time, memory, cpus = (self.largest(part) for part in ("time_minutes", "memory_mb", "cpus"))
        return (time, memory, cpus, not self.is_default, self.name)

    def largest(self, part: Part) -> float:
        """Return the most of one part that it takes, whatever the others are; infinity for no limit."""
        limit = getattr(self.limits, part)
        most = math.inf if limit is None else float(limit)
        if part == "time_minutes" or not self.nodes:
            return most
        return min(most, max(float(getattr(group, part)) for group in self.nodes))

    def _fitting(self, request: Resources) -> list[NodeGroup]:
        return [
            group
            for group in self.nodes or ()
            if request.cpus <= group.cpus
            and request.memory_mb <= group.memory_mb
            and request.gpus <= gpus_of(group.gres, kind=self.gpu_type)
        ]


def with_features(nodes: Iterable[NodeGroup], constraint: str | None) -> tuple[NodeGroup, ...]:
    """Return the nodes that a constraint such as `avx2&ib` or `intel|amd` allows; all for one that is less simple."""
    text = (constraint or "").replace(" ", "")
    if _ALL_OF.fullmatch(text):
        return tuple(group for group in nodes if set(text.split("&")) <= set(group.features))
    if _ANY_OF.fullmatch(text):
        return tuple(group for group in nodes if set(text.split("|")) & set(group.features))
    return tuple(nodes)


def _with_one(part: Part, request: Resources) -> Resources:
    return Resources(
        cpus=1 if part == "cpus" else request.cpus,
        memory_mb=1 if part == "memory_mb" else request.memory_mb,
        time_minutes=1 if part == "time_minutes" else request.time_minutes,
        gpus=request.gpus,
    )


def _fits(asked: int, limit: int | None) -> bool:
    return limit is None or asked <= limit
