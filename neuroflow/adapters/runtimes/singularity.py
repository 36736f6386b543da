"""SingularityCE's command line (3.10 or newer: `--no-eval`)."""

from __future__ import annotations

from neuroflow.adapters.runtimes.apptainer import apptainer_command
from neuroflow.adapters.runtimes.base import Runtime
from neuroflow.domain import ContainerRun


def _command_line(run: ContainerRun, *, scratch: str) -> tuple[str, ...]:
    return apptainer_command("singularity", run, scratch=scratch)


RUNTIME = Runtime(_command_line, gpu_arguments=("--nv",))
