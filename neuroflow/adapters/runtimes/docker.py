"""Docker's command line; Podman's differs in who the container's user is."""

from __future__ import annotations

import os

from neuroflow.adapters.runtimes.base import HOME, Runtime, image_of, mount_option
from neuroflow.domain import Bind, ContainerRun


def docker_command(program: str, run: ContainerRun, *, user: tuple[str, ...], scratch: str) -> tuple[str, ...]:
    """Return `docker run` of a container that is named as its attempt, so that `docker stop` finds it."""
    binds = (*run.binds, Bind(scratch, "/tmp", False))  # noqa: S108
    variables = {"HOME": HOME, **run.environment}
    return (
        program,
        "run",
        "--rm",
        "--init",  # a tool that is process 1 itself ignores SIGTERM
        *(("--name", run.name) if run.name else ()),
        *user,
        *(part for bind in binds for part in ("--mount", mount_option(bind, read_only="readonly"))),
        "--workdir",
        HOME,
        *(part for name, value in variables.items() for part in ("--env", f"{name}={value}")),
        *run.runtime_args,
        image_of(run),
        *run.arguments,
    )


def _command_line(run: ContainerRun, *, scratch: str) -> tuple[str, ...]:
    # The daemon runs as root: without --user the results would belong to root.
    user = ("--user", f"{os.getuid()}:{os.getgid()}")
    return docker_command("docker", run, user=user, scratch=scratch)


RUNTIME = Runtime(_command_line, gpu_arguments=("--gpus", "all"))
