"""Find in a job's own log what SLURM's step daemon wrote there, where no other witness says it.

A site without cgroups measures memory itself, and kills a job above its request: accounting calls that FAILED, and
the job leaves no exit record.
"""

from __future__ import annotations

import re
from pathlib import Path

import structlog

from neuroflow.cluster.folders import FileLook

log = structlog.get_logger(__name__)

TAIL_BYTES = 64 * 1024
# Not at a line's start only: the daemon's lines may cut into others. `at some point` is said of page cache as well.
_OVER_MEMORY = re.compile(
    rb"slurmstepd[^:\n]{0,80}: error: "
    rb"([^\n]{0,80}exceeded memory limit[^\n]{0,80}being killed|Exceeded job memory limit(?! at some point))"
)


def step_log(folder: str | Path, job_id: str) -> Path:
    """Name the file in an attempt's folder that holds its job's standard error."""
    return Path(folder) / f"{job_id}_0_log.err"


def over_memory(look: FileLook, *, path: str) -> str:
    """Return the words in which the step daemon ended a job above its memory request; nothing where it did not."""
    if look.problem:
        log.warning("step_log.unusable", path=path, problem=look.problem)
    found = _OVER_MEMORY.search(look.data or b"")
    return found[1].decode("utf-8", errors="replace") if found else ""
