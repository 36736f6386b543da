"""Ask squeue: build its command line, and read its answer, without touching it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

from neuroflow.cluster.job_ids import job_ids
from neuroflow.cluster.states import ENDED_STATES, job_state
from neuroflow.domain import JobState, QueueRow

# A job name may hold '|' and blanks. It comes last, after a separator that no shell prompt produces.
SEPARATOR = "\x1f"
_FIELDS = ("%i", "%T", "%r", "%S", "%e", "%a", "%q", "%j")
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S%z"  # people can read it, and it is one moment in whatever time zone


def squeue_command(user: str) -> tuple[str, ...]:
    """Build the call that lists all of a user's jobs, those too that ended within MinJobAge."""
    return _squeue("-u", user)


def jobs_command(ids: Collection[str]) -> tuple[str, ...]:
    """Build the call that lists jobs by id, whoever's they are."""
    return _squeue("-j", ",".join(sorted(ids)))


def _squeue(*whose: str) -> tuple[str, ...]:
    time_format = f"SLURM_TIME_FORMAT={_TIME_FORMAT}"
    return ("env", time_format, "squeue", "-h", "-r", "-t", "all", *whose, "-o", SEPARATOR.join(_FIELDS))


def parse_squeue(text: str) -> tuple[QueueRow, ...]:
    """Read squeue's answer; lines that are no job are left out."""
    rows: list[QueueRow] = []
    for line in text.split("\n"):
        fields = line.split(SEPARATOR, len(_FIELDS) - 1)
        if len(fields) != len(_FIELDS):
            continue
        shown, word, reason, start, end, account, qos, name = (field.strip() for field in fields)
        state = job_state(word)
        rows.extend(
            QueueRow(
                job_id=job_id,
                token=name,
                state=state,
                word=word,
                reason="" if reason == "None" else reason,
                start="" if start == "N/A" else start,
                account=account,
                qos=qos,
                ended_at=_moment(end) if state in ENDED_STATES else None,  # else it is the expected end
            )
            for job_id in job_ids(shown)
        )
    return tuple(rows)


def is_listed(row: QueueRow | None) -> bool:
    """Tell whether squeue still counts a job among the living, or can't be understood about it."""
    return row is not None and row.state not in ENDED_STATES and row.state is not JobState.NOT_REPORTED


def start_of(row: QueueRow) -> datetime | None:
    """Return when a job began, or is expected to; None where SLURM does not say."""
    stamp = _moment(row.start)
    return None if stamp is None else datetime.fromtimestamp(stamp, UTC)


def _moment(text: str) -> float | None:
    try:
        return datetime.strptime(text, _TIME_FORMAT).timestamp()
    except (ValueError, OverflowError):
        return None
