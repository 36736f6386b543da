"""Job ids, of arrays too: take them apart, and expand the ranges that SLURM prints for elements that wait."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

# A hundred times SLURM's own default of MaxArraySize: more than that is no list of jobs.
MAX_ELEMENTS = 100_000
_JOB_ID = re.compile(r"\d{1,18}(?:_\d{1,18})?", re.ASCII)
_RANGES_ID = re.compile(r"(\d{1,18})_\[([^\[\]]*)\]", re.ASCII)
_RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9})(?::(\d{1,9}))?)?", re.ASCII)


def job_ids(text: str) -> tuple[str, ...]:
    """Return the jobs that an id stands for, one by one; none for a text that is no id.

    `605_[4-7%2]` stands for four, `605_[1-41:2]` for 21. SLURM cuts long lists (`605_[1,3,...]`): the elements
    behind the cut are not known, and neither is the number right before it.
    """
    if _JOB_ID.fullmatch(text):
        return (text,)
    match = _RANGES_ID.fullmatch(text)
    if match is None:
        return ()
    array, listed = match.groups()
    readable, cut, _ = listed.partition("...")
    parts = readable.partition("%")[0].split(",")
    ranges = [_RANGE.fullmatch(part) for part in (parts[:-1] if cut else parts)]
    if None in ranges:
        return ()
    indexes = _indexes(found for found in ranges if found is not None)
    return tuple(f"{array}_{index}" for index in islice(indexes, MAX_ELEMENTS))


def _indexes(ranges: Iterable[re.Match[str]]) -> Iterator[int]:
    for found in ranges:
        first, last, step = found.groups()
        yield from range(int(first), int(last or first) + 1, max(1, int(step or 1)))


def array_index(job_id: str) -> int | None:
    """Return the index of an array's element, None for a job of its own."""
    _, _, index = job_id.partition("_")
    return int(index) if index.isascii() and index.isdigit() else None


def base_id(job_id: str) -> str:
    """Return the id of the array that an element belongs to, or of the job itself."""
    return job_id.partition("_")[0]
