"""What a job finds out about its attempt, and the exit record that it makes of that; standard library only."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from neuroflow.cluster.process import Tail
from neuroflow.cluster.usage import Usage
from neuroflow.domain import ExitRecord

BROKEN = 70  # EX_SOFTWARE: the payload failed, not the tool
_MAX_NAMED = 50
_LONGEST_PROBLEM = 1000


@dataclass
class Findings:
    """What is known so far of how the attempt went."""

    job_id: str
    started: float  # seconds since the epoch
    life: int = 0  # which one of its job's this is
    exit_code: int | None = None
    signal: int | None = None
    error: str = ""
    published: bool = False
    crash_files: tuple[str, ...] = ()
    missing_outputs: tuple[str, ...] = ()
    oom_kills: int = 0
    oom_kills_before: int = 0  # those of the control group when the attempt began
    quarantined: tuple[str, ...] = ()
    results_of: str = ""
    image_id: str = ""
    provenance: str = ""  # why it could not be written
    usage: Usage | None = None  # None also where the container's processes are not this job's, as Docker's
    tool_ran: bool = False
    emptied: Path | None = None  # an output folder that is published, but for copies
    tail: Tail = field(default_factory=Tail)


def record_of(findings: Findings, *, token: str, stopped_by: str) -> ExitRecord:
    """Make the exit record of an attempt that ends now."""
    restarts = os.environ.get("SLURM_RESTART_COUNT", "0")
    used = findings.usage
    return ExitRecord(
        token=token,
        job_id=findings.job_id,
        exit_code=findings.exit_code,
        signal=findings.signal,
        host=host_name(),
        started_at=findings.started,
        ended_at=time.time(),
        stderr_tail=findings.tail.text,
        max_rss_mb=used.max_rss_mb if used else None,
        crash_files=findings.crash_files,
        missing_outputs=findings.missing_outputs,
        published=findings.published,
        error=findings.error,
        restart_count=int(restarts) if restarts.isdigit() else 0,
        bad_input=findings.tail.matched,
        oom_kills=findings.oom_kills,
        stopped_by=stopped_by,
        quarantined=findings.quarantined,
        results_of=findings.results_of,
        image_id=findings.image_id,
        cpu_seconds=used.cpu_seconds if used else None,
        tool_ran=findings.tool_ran,
        provenance=findings.provenance[:_LONGEST_PROBLEM],
    )


def host_name() -> str:
    """Return the name by which SLURM knows this node, or else its own."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def named(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the names that a record holds: not more of them than help."""
    return tuple(sorted(set(paths)))[:_MAX_NAMED]


def exit_code_of(record: ExitRecord) -> int:
    """Return the exit code with which the job ends; 0 means published."""
    if record.published:
        return 0
    return BROKEN if record.exit_code is None else min(max(record.exit_code, 1), 255)
