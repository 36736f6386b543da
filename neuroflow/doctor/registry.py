"""All checks, in the order in which they are run, and all kinds of findings."""

from __future__ import annotations

from neuroflow.doctor import (
    clock,
    configuration,
    containers,
    database,
    files,
    folders,
    host,
    image_identity,
    node_checks,
    redis_server,
    runner,
    slurm,
    slurm_jobs,
    space,
    ssh,
    tools,
)
from neuroflow.doctor.check import Check, Kind

CHECKS: tuple[Check, ...] = (
    *configuration.CHECKS,
    *folders.CHECKS,
    *space.CHECKS,
    *ssh.CHECKS,
    *database.CHECKS,
    *redis_server.CHECKS,
    *clock.CHECKS,
    *slurm.CHECKS,
    *slurm_jobs.CHECKS,
    *files.CHECKS,
    *containers.CHECKS,
    *image_identity.CHECKS,
    *tools.CHECKS,
    *host.CHECKS,
)
# Only inside the job of --node.
NODE_CHECKS: tuple[Check, ...] = (*(check for check in CHECKS if check.on_node), *node_checks.CHECKS)


def kinds() -> tuple[Kind, ...]:
    """Return every kind of finding, once."""
    declared = (kind for check in (*CHECKS, *NODE_CHECKS) for kind in check.kinds)
    return tuple(dict.fromkeys((*declared, *node_checks.JOB_KINDS, *runner.KINDS)))
