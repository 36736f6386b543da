"""Ask sacct: build one command line for however many jobs, and read its answer, without touching it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from neuroflow.cluster.job_ids import base_id, job_ids
from neuroflow.cluster.queue_query import SEPARATOR
from neuroflow.cluster.states import job_state
from neuroflow.domain import AccountingRow, JobState

_FIELDS = (
    "JobID",
    "State",
    "ExitCode",
    "MaxRSS",
    "ElapsedRaw",
    "Submit",
    "Start",
    "End",
    "NodeList",
    "TotalCPU",
    "JobName",
)
# A longer list would fill the command line, and one query of a window is cheaper for slurmdbd.
MAX_LISTED = 200
_LATEST_SECONDS = 253402300800  # the year 10000: later moments can't be shown
_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)([KMGTP]?)", re.ASCII)
_CPU_TIME = re.compile(r"(?:(?:(\d{1,9})-)?(\d{1,9}):)?(\d{1,9}):(\d{1,2}(?:\.\d{1,9})?)", re.ASCII)
_MIB = {"": 1 / 1024**2, "K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2, "P": 1024.0**3}


def sacct_command(*, ids: Collection[str], names: Collection[str], user: str, since: datetime) -> tuple[str, ...]:
    """Build the one call that accounts for jobs by id, and by name where the id is not known.

    Args:
        ids: job ids; elements of an array are asked for by the array's own.
        names: job names.
        user: whose jobs they are.
        since: a moment before any of them was submitted.
    """
    bases = sorted({base_id(job_id) for job_id in ids})
    if not names and len(bases) <= MAX_LISTED:
        return (*_sacct(), "-j", ",".join(bases))
    # A day earlier, because sacct reads the time in the cluster's own zone; without -S it starts at midnight.
    start = (since - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S")
    # A window holds what was ever eligible to run, jobs with a begin time ahead only if it ends behind that. What was
    # cancelled while it waited for a hold, a dependency or an array's limit is found by id alone, in a later round.
    window = (*_sacct(), "-u", user, "-S", start, "-E", "now+365days")
    if not bases and len(names) <= MAX_LISTED:
        return (*window, "--name", ",".join(sorted(names)))
    return window


def _sacct() -> tuple[str, ...]:
    # SLURM_TIME_FORMAT makes times seconds since the epoch, whatever the cluster's zone. -D: the earlier lives too.
    fields = ",".join(_FIELDS)
    return ("env", "SLURM_TIME_FORMAT=%s", "sacct", "-n", "-P", "-D", f"--delimiter={SEPARATOR}", "-o", fields)


@dataclass
class _Life:
    """One life of a job, or of an array's waiting elements: until it ends, or is requeued under the same id."""

    shown: str
    word: str
    exit_text: str
    elapsed: int | None
    submitted_at: int
    started_at: int | None
    ended_at: int | None
    nodes: str
    name: str
    order: int
    cpu_seconds: float = 0.0
    steps_cpu_seconds: float = 0.0
    max_rss_mb: float | None = None
    step_out_of_memory: bool = False
    ids: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.ids = job_ids(self.shown)

    @property
    def is_range(self) -> bool:
        """Tell whether it is the row of an array's elements that have none of their own yet."""
        return self.shown.endswith("]")

    @property
    def rank(self) -> tuple[float, ...]:
        """A later life has a higher one; the row of a range is older than an element's own."""
        start = math.inf if self.started_at is None else self.started_at
        return (self.submitted_at, not self.is_range, start, self.order)

    def measure(self, size: str) -> None:
        """Keep the largest memory of its steps."""
        memory = parse_size(size)
        if memory is not None:
            self.max_rss_mb = max(memory, self.max_rss_mb or 0.0)


def parse_sacct(text: str) -> tuple[AccountingRow, ...]:
    """Read sacct's answer: one row per job, of its latest life, what its steps alone tell folded in.

    Garbage is left out. Of one id under two names, which some years lie between, there are two rows.
    """
    lives: list[_Life] = []
    latest: dict[str, _Life] = {}  # the steps of a life follow its row, before the row of the next
    for line in text.split("\n"):
        fields = [part.strip() for part in line.split(SEPARATOR, len(_FIELDS) - 1)]
        if len(fields) != len(_FIELDS):
            continue
        # A list that SLURM has cut holds dots of its own; what waits has no steps.
        shown, is_step, _ = (fields[0], "", "") if fields[0].endswith("]") else fields[0].partition(".")
        if not is_step:
            life = _life(fields, order=len(lives))
            lives.append(life)
            latest[shown] = life
        if shown in latest:
            latest[shown].measure(fields[3])
            if is_step:
                latest[shown].steps_cpu_seconds += parse_cpu_time(fields[9])
            latest[shown].step_out_of_memory |= bool(is_step) and fields[1].startswith("OUT_OF_ME")
    return tuple(_rows(lives))


def _life(fields: list[str], *, order: int) -> _Life:
    shown, word, exit_text, _, elapsed, submit, start, end, nodes, cpu, name = fields
    return _Life(
        shown=shown,
        word=word,
        exit_text=exit_text,
        elapsed=_whole(elapsed),
        submitted_at=_moment(submit) or 0,
        started_at=_moment(start),
        ended_at=_moment(end),
        nodes="" if nodes == "None assigned" else nodes,
        name=name,
        order=order,
        cpu_seconds=parse_cpu_time(cpu),
    )


def _rows(lives: list[_Life]) -> Iterable[AccountingRow]:
    counts: Counter[tuple[str, str]] = Counter()
    latest: dict[tuple[str, str], _Life] = {}
    for life in lives:
        for job_id in life.ids:
            key = (job_id, life.name)
            counts[key] += not life.is_range
            if key not in latest or life.rank > latest[key].rank:
                latest[key] = life
    return (_row(job_id, life, lives=max(1, counts[job_id, name])) for (job_id, name), life in latest.items())


def _row(job_id: str, life: _Life, *, lives: int) -> AccountingRow:
    exit_code, signal = parse_exit_code(life.exit_text)
    state, word = job_state(life.word), life.word
    # The kernel's kill inside `srun` shows on the step only; the job is FAILED, by the step's exit code.
    if life.step_out_of_memory and state is JobState.FAILED:
        state, word = JobState.OUT_OF_MEMORY, "OUT_OF_MEMORY"
    return AccountingRow(
        job_id=job_id,
        token=life.name,
        state=state,
        word=word,
        exit_code=exit_code,
        signal=signal,
        max_rss_mb=life.max_rss_mb,
        elapsed_seconds=life.elapsed,
        nodes=life.nodes,
        started_at=life.started_at,
        ended_at=life.ended_at,
        # Nothing at all was not measured: the site gathers none, or the job was killed before it was looked at.
        cpu_seconds=max(life.cpu_seconds, life.steps_cpu_seconds) or None,
        lives=lives,
    )


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


def parse_cpu_time(text: str) -> float:
    """Read a time such as `1-02:03:04` or `03:04.567` in seconds; 0 for anything else."""
    match = _CPU_TIME.fullmatch(text)
    if match is None:
        return 0.0
    days, hours, minutes, seconds = match.groups(default="0")
    return int(days) * 86400.0 + int(hours) * 3600.0 + int(minutes) * 60.0 + float(seconds)


def _moment(text: str) -> int | None:
    seconds = _whole(text)
    return seconds if seconds is not None and seconds < _LATEST_SECONDS else None


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
