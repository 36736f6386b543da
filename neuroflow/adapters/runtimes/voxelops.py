"""VoxelOps: a program of ours that calls it, in the Python that has it; Docker is VoxelOps' own affair."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from neuroflow.adapters.runtimes.base import Runtime
from neuroflow.domain import ContainerRun
from neuroflow.errors import AdapterError

# By its path, since that Python may have no neuroflow.
CALLER = Path(__file__).with_name("voxelops_call.py")


def check_available(python: str | None, *, needs_docker: bool) -> None:
    """Look for what an attempt by way of VoxelOps needs of this machine.

    Args:
        python: another Python that has VoxelOps; None: this one.

    Raises:
        AdapterError: when something is missing.
    """
    if python is not None and shutil.which(python) is None:
        raise AdapterError(
            f"containers.voxelops_python: '{python}' can't be executed", hint="name the Python that has VoxelOps"
        )
    # VoxelOps stops at its own import where parcellate is too new, as beside QSIParc.
    if python is None and not (_is_there("voxelops") and _is_there("parcellate") and _is_there(_PARTS)):
        raise AdapterError(
            "`where: voxelops` needs VoxelOps, and this Python can't import it",
            hint="`pip install 'neuroflow[voxelops]'`; where QSIParc is installed too, into an environment of its own "
            "that containers.voxelops_python names (docs/voxelops.md)",
        )
    if needs_docker and shutil.which("docker") is None:
        raise AdapterError(
            "`where: voxelops` needs Docker, and there is no `docker` on PATH",
            hint="install Docker, or choose another `where`: `cluster` with Apptainer, say",
        )


_PARTS = "parcellate.interfaces"


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _command_line(run: ContainerRun, *, scratch: str) -> tuple[str, ...]:
    return (*run.program, *run.arguments)


RUNTIME = Runtime(_command_line)
