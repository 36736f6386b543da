"""Apptainer's command line; SingularityCE's is the same."""

from __future__ import annotations

from neuroflow.adapters.runtimes.base import HOME, Runtime, image_of, mount_option, quoted
from neuroflow.domain import Bind, ContainerRun


def apptainer_command(program: str, run: ContainerRun, *, scratch: str) -> tuple[str, ...]:
    """Return `apptainer run` with nothing of the host inside but the run's binds and variables."""
    # A user's /tmp and /var/tmp in a contained run are 64 MiB in memory: both lie on the scratch folder instead.
    binds = (*run.binds, Bind(scratch, "/tmp", False), Bind(scratch, "/var/tmp", False))  # noqa: S108
    mounts = [part for bind in binds for part in ("--mount", mount_option(bind, read_only="ro"))]
    return (
        program,
        "run",
        "--cleanenv",
        "--containall",
        # --env HOME=... is refused. --home sets it without mounting anything as long as --no-home is there.
        "--no-home",
        "--home",
        f"/:{HOME}",
        "--pwd",
        HOME,
        # Or a shell in the container expands `$` and backticks in variables, and in the arguments of Docker images.
        "--no-eval",
        *mounts,
        *_env_option(run),
        *run.runtime_args,
        image_of(run),
        *run.arguments,
    )


def _env_option(run: ContainerRun) -> tuple[str, ...]:
    """Write all variables as one CSV record.

    An --env with a single `=` in it is not read as CSV, it loses its outer quotes instead; two or more variables in
    one option always are, so a lone variable gets a companion.
    """
    variables = dict(run.environment)
    if not variables:
        return ()
    if len(variables) == 1:
        variables["NEUROFLOW"] = "1"
    return ("--env", ",".join(quoted(f"{name}={value}") for name, value in variables.items()))


def _command_line(run: ContainerRun, *, scratch: str) -> tuple[str, ...]:
    return apptainer_command("apptainer", run, scratch=scratch)


RUNTIME = Runtime(_command_line, gpu_arguments=("--nv",))
