"""Podman's command line."""

from __future__ import annotations

from neuroflow.adapters.runtimes.base import Runtime
from neuroflow.adapters.runtimes.docker import docker_command
from neuroflow.domain import ContainerRun


def _command_line(run: ContainerRun, *, scratch: str) -> tuple[str, ...]:
    # Rootless: the caller's own id inside as outside, so that the binds are writable and the results the caller's.
    return docker_command("podman", run, user=("--userns=keep-id",), scratch=scratch)


RUNTIME = Runtime(_command_line, gpu_arguments=("--device", "nvidia.com/gpu=all"))
