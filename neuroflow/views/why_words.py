"""The words of `neuroflow why`: failure classes, spans of time, requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from neuroflow.domain import AttemptRecord, FailureClass, Resources
from neuroflow.wording import counted

FAILURES: Mapping[FailureClass, str] = {
    FailureClass.OUT_OF_MEMORY: "it needed more memory than it had asked for",
    FailureClass.TIMEOUT: "it did not end within its time limit",
    FailureClass.NODE: "its compute node failed, or the job vanished without a word",
    FailureClass.PREEMPTED: "SLURM stopped it to make room for other jobs",
    FailureClass.APPLICATION: "the tool itself failed",
    FailureClass.NO_OUTPUT: "the tool ended without an error, but did not write the results that it should",
    FailureClass.BAD_INPUT: "the tool refuses these inputs",
    FailureClass.SITE: "the set-up of this site is wrong for it: account, partition, image, runtime or licence",
    FailureClass.CANCELLED: "it was stopped from outside",
}
_LONGEST = 200


def moment(time: datetime) -> str:
    """Return a time to the minute."""
    return f"{time:%Y-%m-%d %H:%M} UTC"


def span(seconds: float) -> str:
    """Return a span of time in its two largest units."""
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    minutes = whole // 60
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def short(text: str) -> str:
    """Return a text in one line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def listed(words: Sequence[str], *, most: int = 3) -> str:
    """Return words as a list, the first few of many."""
    if len(words) > most:
        return f"{', '.join(words[:most])} and {len(words) - most} more"
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def request(asked: Resources) -> str:
    """Return what a job asks for."""
    gpus = f", {counted(asked.gpus, 'GPU')}" if asked.gpus else ""
    where = f", in partition {asked.partition}" if asked.partition else ""
    return f"{counted(asked.cpus, 'core')}, {asked.memory_mb} MiB, {span(asked.time_minutes * 60)}{gpus}{where}"


def changes(before: AttemptRecord | None, after: AttemptRecord) -> str:
    """Say what an attempt asked for, or had, otherwise than the one before."""
    if before is None:
        return ""
    old, new = before.resources, after.resources
    found = []
    if new.memory_mb != old.memory_mb:
        found.append(f"{new.memory_mb} MiB instead of {old.memory_mb}")
    if new.time_minutes != old.time_minutes:
        found.append(f"{span(new.time_minutes * 60)} instead of {span(old.time_minutes * 60)}")
    if (new.cpus, new.gpus) != (old.cpus, old.gpus):
        found.append(f"{counted(new.cpus, 'core')} and {counted(new.gpus, 'GPU')}")
    if new.partition != old.partition:
        found.append(f"partition {new.partition or 'by default'}")
    if after.image != before.image or after.image_record_id != before.image_record_id:
        found.append("another image")
    if before.failure is FailureClass.NODE and after.host and after.host != before.host:
        found.append(f"on {after.host} instead of {before.host}")
    return ", ".join(found) or "the same request again"
