"""What the job of `doctor --node` wrote beside its findings, and how SLURM says that it ended."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from neuroflow.cluster.request import JobRequest
from neuroflow.config.execution import Cluster
from neuroflow.config.partitions import job_settings
from neuroflow.doctor.check import Context
from neuroflow.errors import CommandError

# The job says so on stderr once its set-up lines are through: what stands before it is theirs.
SETUP_DONE = "neuroflow doctor: the set-up lines are through"
LOG_BYTES = 64 * 1024
_LAST_LINES = 4


@dataclass(frozen=True)
class JobLog:
    """The job's two logs; None for one that is not there."""

    err: bytes | None = None
    out: bytes | None = None
    has_setup: bool = False  # whether the job had set-up lines

    @property
    def setup_words(self) -> str:
        """What set-up lines wrote to stderr; nothing where they have not come to their end."""
        before, mark, _ = _text(self.err).partition(SETUP_DONE)
        return _last_lines(before) if mark else ""

    @property
    def ended_in_setup(self) -> bool:
        """Whether the job ended before its set-up lines had."""
        return self.has_setup and self.err is not None and SETUP_DONE not in _text(self.err)

    @property
    def last_words(self) -> str:
        """What it wrote last, or that there is nothing."""
        said = _last_lines(_text(self.err).replace(SETUP_DONE, "") + "\n" + _text(self.out))
        if said:
            return said
        if self.err is None and self.out is None:
            return "it has no log: the node may not see paths.state_dir"
        return "its log is empty"

    def write(self, file: Path) -> None:
        """Keep both."""
        file.parent.mkdir(mode=0o700, exist_ok=True)
        file.write_bytes((self.err or b"") + (self.out or b""))


def read_log(context: Context, job: JobRequest, job_id: str) -> JobLog:
    """Read the logs of a job.

    Raises:
        ClusterError: when the cluster can't be reached.
    """
    names = [f"{job.folder}/{job_id}_0_log.{kind}" for kind in ("err", "out")]
    ends = context.login_node.folders.tails(names, limit_bytes=LOG_BYTES)
    err, out = (ends[name].data for name in names)
    return JobLog(err, out, has_setup=bool(job.settings.setup_lines))


def marking_setup(cluster: Cluster, job: JobRequest) -> JobRequest:
    """Return a job that tells where its set-up lines end; the same one where it has none."""
    settings = job.settings
    if not job_settings(cluster, settings, partition=settings.partition).setup_lines:
        return job
    lines = (*settings.setup_lines, f"echo '{SETUP_DONE}' >&2")
    return replace(job, settings=settings.model_copy(update={"setup_lines": lines}))


def how_it_ended(context: Context, job_id: str) -> str:
    """Return SLURM's own words of a job's end, empty where it has none."""
    try:
        answer = context.ask("scontrol", "-o", "show", "job", job_id)
    except CommandError:
        return ""
    state, code = (re.search(rf"\b{name}=(\S+)", answer.stdout) for name in ("JobState", "ExitCode"))
    if state is None or code is None:
        return ""
    number, _, signal = code[1].partition(":")
    return f"{state[1]}, exit code {number}" + (f", signal {signal}" if signal not in ("", "0") else "")


def _text(data: bytes | None) -> str:
    return (data or b"").decode("utf-8", "replace")


def _last_lines(text: str) -> str:
    lines = [line.strip() for line in text.splitlines()]
    return " / ".join([line for line in lines if line][-_LAST_LINES:])
