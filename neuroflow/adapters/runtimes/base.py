"""What the container runtimes share: their contract, and mount options written as CSV."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from neuroflow.domain import Bind, ContainerRun
from neuroflow.errors import AdapterError

# HOME and the working directory: the work folder is writable and large, the user's home may be neither.
HOME = "/work"


class CommandLine(Protocol):
    """Build the host's argument list of a run."""

    def __call__(self, run: ContainerRun, *, scratch: str) -> tuple[str, ...]:
        """Return it; `scratch` becomes the container's /tmp."""
        ...


@dataclass(frozen=True)
class Runtime:
    """One container runtime."""

    command_line: CommandLine
    gpu_arguments: tuple[str, ...] = ()


def image_of(run: ContainerRun) -> str:
    """Return the image of a run in a container."""
    if run.image is None:
        raise AdapterError(f"{run.runtime} needs an image to run {run.pipeline}, and none is set")
    return run.image


def quoted(field: str) -> str:
    """Quote one CSV field: commas, quotes, spaces and line breaks in it stay what they are."""
    return '"' + field.replace('"', '""') + '"'


def mount_option(bind: Bind, *, read_only: str) -> str:
    """Write a bind as `--mount` takes it; `--volume` can't hold a path with a colon."""
    fields = ["type=bind", quoted(f"source={bind.source}"), quoted(f"destination={bind.target}")]
    return ",".join([*fields, *([read_only] if bind.read_only else [])])
