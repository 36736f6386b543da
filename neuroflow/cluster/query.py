"""Ask squeue and sacct: build their command lines, and read their answers, without touching either."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from neuroflow.cluster.states import ENDED_STATES, job_state
from neuroflow.domain import AccountingRow, JobState, QueueRow

# A job name may hold '|' and blanks. It comes last, after a separator that no shell prompt produces.
_SEPARATOR = "\x1f"
_QUEUE_FIELDS = ("%i", "%T", "%r", "%S", "%e", "%j")
_ACCOUNTING_FIELDS = ("JobIDRaw", "JobID", "State", "ExitCode", "MaxRSS", "ElapsedRaw", "End", "NodeList", "JobName")
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S%z"  # people can read it, and it is one moment in whatever time zone
JOBS_PER_CALL = 500
_JOB_ID = re.compile(r"\d+(?:_\d+)?", re.ASCII)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGTP]?)", re.ASCII)
_MIB = {"": 1 / 1024**2, "K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2, "P": 1024.0**3}


def squeue_command(user: str) -> tuple[str, ...]:
    """Build the call that lists all of a user's jobs, those too that ended within MinJobAge."""
    return (
        "env",
        f"SLURM_TIME_FORMAT={_TIME_FORMAT}",
        "squeue",
        "-h",
        "-r",
        "-t",
        "all",
        "-u",
        user,
        "-o",
        _SEPARATOR.join(_QUEUE_FIELDS),
    )


def sacct_commands(job_ids: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Build the calls that account for jobs by id, a few hundred jobs each."""
    for chunk in _chunks(sorted(set(job_ids))):
        yield (*_sacct(), "-j", ",".join(chunk))


def sacct_name_commands(names: Iterable[str], *, user: str, since: datetime) -> Iterator[tuple[str, ...]]:
    """Build the calls that account for jobs by name, for attempts whose job id was lost."""
    # A day earlier, because sacct reads the time in the cluster's own zone; without -S it starts at midnight.
    start = (since - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S")
    for chunk in _chunks(sorted(set(names))):
        yield (*_sacct(), "-u", user, "-S", start, "--name", ",".join(chunk))


def _sacct() -> tuple[str, ...]:
    # SLURM_TIME_FORMAT makes End seconds since the epoch, whatever the cluster's time zone.
    fields = ",".join(_ACCOUNTING_FIELDS)
    return ("env", "SLURM_TIME_FORMAT=%s", "sacct", "-n", "-P", f"--delimiter={_SEPARATOR}", "-o", fields)


def _chunks(items: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), JOBS_PER_CALL):
        yield items[start : start + JOBS_PER_CALL]


def parse_squeue(text: str) -> tuple[QueueRow, ...]:
    """Read squeue's answer; lines that are no job are left out."""
    rows = []
    for line in text.split("\n"):
        fields = line.split(_SEPARATOR, len(_QUEUE_FIELDS) - 1)
        if len(fields) != len(_QUEUE_FIELDS) or not _JOB_ID.fullmatch(fields[0].strip()):
            continue
        job_id, word, reason, start, end, name = (field.strip() for field in fields)
        state = job_state(word)
        rows.append(
            QueueRow(
                job_id=job_id,
                token=name,
                state=state,
                word=word,
                reason="" if reason == "None" else reason,
                start="" if start == "N/A" else start,
                ended_at=_moment(end) if state in ENDED_STATES else None,  # else it is the expected end
            )
        )
    return tuple(rows)


def parse_sacct(text: str) -> tuple[AccountingRow, ...]:
    """Read sacct's answer: one row per job, what its steps alone tell folded in; garbage is left out."""
    jobs: dict[str, AccountingRow] = {}
    largest: dict[str, float] = {}
    out_of_memory: set[str] = set()
    for line in text.split("\n"):
        fields = line.split(_SEPARATOR, len(_ACCOUNTING_FIELDS) - 1)
        if len(fields) != len(_ACCOUNTING_FIELDS):
            continue
        raw_id, shown_id, word, _, size, *_ = (field.strip() for field in fields)
        job_id, is_step = _job_of(raw_id, shown_id)
        memory = parse_size(size)
        if memory is not None:
            largest[job_id] = max(memory, largest.get(job_id, 0.0))
        if job_id and not is_step:
            jobs[job_id] = _accounting_row(job_id, fields)
        elif word.startswith("OUT_OF_ME"):
            out_of_memory.add(job_id)
    return tuple(_with_steps(row, largest.get(row.job_id), row.job_id in out_of_memory) for row in jobs.values())


def _job_of(raw_id: str, shown_id: str) -> tuple[str, bool]:
    """Return the job that a row belongs to ('' for garbage), and whether the row is one of its steps."""
    shown, dot, _ = shown_id.partition(".")
    raw = raw_id.partition(".")[0]
    job_id = shown if _JOB_ID.fullmatch(shown) else raw
    return (job_id if _JOB_ID.fullmatch(job_id) else ""), bool(dot) or "." in raw_id


def _accounting_row(job_id: str, fields: Sequence[str]) -> AccountingRow:
    _, _, word, exit_text, _, elapsed, end, nodes, name = (field.strip() for field in fields)
    exit_code, signal = parse_exit_code(exit_text)
    return AccountingRow(
        job_id=job_id,
        token=name,
        state=job_state(word),
        word=word,
        exit_code=exit_code,
        signal=signal,
        max_rss_mb=None,
        elapsed_seconds=_whole(elapsed),
        nodes="" if nodes == "None assigned" else nodes,
        ended_at=_whole(end),
    )


def _with_steps(row: AccountingRow, memory_mb: float | None, out_of_memory: bool) -> AccountingRow:
    row = replace(row, max_rss_mb=memory_mb)
    # The kernel's kill inside `srun` shows on the step only; the job is FAILED, by the step's exit code.
    if out_of_memory and row.state is JobState.FAILED:
        return replace(row, state=JobState.OUT_OF_MEMORY, word="OUT_OF_MEMORY")
    return row


def parse_exit_code(text: str) -> tuple[int | None, int | None]:
    """Read sacct's `code:signal`; (None, None) for anything else.

    sacct prints code - 128 from 128 on: 255 reads `127:0`, 137 reads `9:0`. A code here is a hint at best;
    the exit record holds the real one.
    """
    code, _, signal = text.partition(":")
    number, signal_number = _whole(code), _whole(signal)
    if number is None or signal_number is None:
        return None, None
    return number, signal_number or None


def parse_size(text: str) -> float | None:
    """Read a size such as `168544K` or `1.5G` as MiB; None for anything else."""
    match = _SIZE.fullmatch(text)
    return float(match[1]) * _MIB[match[2]] if match else None


def _moment(text: str) -> float | None:
    try:
        return datetime.strptime(text, _TIME_FORMAT).timestamp()
    except (ValueError, OverflowError):
        return None


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def is_listed(row: QueueRow | None) -> bool:
    """Tell whether squeue still counts a job among the living, or can't be understood about it."""
    return row is not None and row.state not in ENDED_STATES and row.state is not JobState.NOT_REPORTED
