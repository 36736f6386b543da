"""The container runtimes: a ContainerRun in, the host's argument list out."""

from __future__ import annotations

from neuroflow.adapters.runtimes import apptainer, docker, host, podman, singularity, voxelops
from neuroflow.adapters.runtimes.base import Runtime
from neuroflow.domain import ContainerRun
from neuroflow.errors import AdapterError

_RUNTIMES: dict[str, Runtime] = {
    "apptainer": apptainer.RUNTIME,
    "singularity": singularity.RUNTIME,
    "docker": docker.RUNTIME,
    "podman": podman.RUNTIME,
    "host": host.RUNTIME,
    "voxelops": voxelops.RUNTIME,
}


def command_line(run: ContainerRun, *, scratch: str | None = None) -> tuple[str, ...]:
    """Return the command that executes `run` on a node, as an argument list.

    Args:
        scratch: a node-local folder that becomes the container's /tmp; without one it is `tmp` in the run's
            work folder. Whoever executes the command makes that folder, the work and the output folder first.
    """
    return _runtime(run.runtime).command_line(run, scratch=scratch or default_scratch(run))


def default_scratch(run: ContainerRun) -> str:
    """Return the folder that becomes /tmp where the site has no scratch."""
    return f"{run.work_dir}/tmp"  # noqa: S108


def gpu_arguments(runtime: str, gpus: int) -> tuple[str, ...]:
    """Return the runtime's options that show the node's GPUs to the container."""
    return _runtime(runtime).gpu_arguments if gpus > 0 else ()


def _runtime(name: str) -> Runtime:
    if name not in _RUNTIMES:
        raise AdapterError(f"there is no container runtime '{name}'; there are: {', '.join(_RUNTIMES)}")
    return _RUNTIMES[name]


__all__ = ["command_line", "default_scratch", "gpu_arguments"]
