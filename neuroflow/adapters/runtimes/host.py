"""No container: the tool as it is installed on the host."""

from __future__ import annotations

from pathlib import PurePath

from neuroflow.adapters.runtimes.base import Runtime
from neuroflow.domain import ContainerRun

# Constant text; the folder and the command come in as arguments and are never read as shell code.
_WITH_PATH = 'PATH="$1:$PATH"; export PATH; shift; exec "$@"'


def _command_line(run: ContainerRun, *, scratch: str) -> tuple[str, ...]:
    """Return the program and its arguments; the job applies `run.environment`.

    A program that is named with its folder gets this folder in front of PATH: HeudiConv calls the dcm2niix that
    is installed beside it.
    """
    command = (*run.program, *run.arguments)
    folder = str(PurePath(run.program[0]).parent)
    if not folder.startswith("/"):
        return command
    return ("/bin/sh", "-c", _WITH_PATH, "neuroflow", folder, *command)


RUNTIME = Runtime(_command_line)
