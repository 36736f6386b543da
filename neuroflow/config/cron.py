"""Cron strings: checked at start, because a bad one must never become a silent default."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator

_RANGES = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 6))
_NAMES = {
    "month": ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    "day of week": ("sun", "mon", "tue", "wed", "thu", "fri", "sat"),
}
_MOST_DAYS = 366 * 8 + 1  # 29 February may be eight years away, around 2100
_LONGEST_NUMBER = 4  # digits; longer ones are typing errors, and Python refuses to read the very long


def normalise_cron(text: str) -> str:
    """Check a five-field cron string and return it with single spaces.

    Celery ANDs day of month and day of week, where cron ORs them; a string that restricts both is
    refused, because it would run far more rarely than its author thinks.

    Raises:
        ValueError: with the reason, in words.
    """
    fields = text.split()
    if len(fields) != 5:
        raise ValueError(
            f"{text!r} is not a cron string: five fields are needed "
            "(minute hour day-of-month month day-of-week), such as '0 2 */3 * *'"
        )
    if fields[2] != "*" and fields[4] != "*":
        raise ValueError(
            f"{text!r} restricts both day of month and day of week; Celery needs both to match, "
            "cron either: leave one of them '*'"
        )
    values = [_field(part, *span) for part, span in zip(fields, _RANGES, strict=True)]
    _check_days(text, days=values[2], months=values[3])
    return " ".join(fields)


def next_time(text: str, after: datetime) -> datetime:
    """Return the first moment after another one at which a cron string, one that was checked, is due; in UTC."""
    minutes, hours, days, months, weekdays = (
        _field(part, *span) for part, span in zip(text.split(), _RANGES, strict=True)
    )
    first = after.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    day = first.replace(hour=0, minute=0)
    for _ in range(_MOST_DAYS):
        # In cron, Sunday is 0.
        if day.month in months and day.day in days and day.isoweekday() % 7 in weekdays:
            times = (day.replace(hour=hour, minute=minute) for hour in sorted(hours) for minute in sorted(minutes))
            due = next((time for time in times if time >= first), None)
            if due is not None:
                return due
        day += timedelta(days=1)
    raise ValueError(f"{text!r} is never due")


def _check_days(text: str, *, days: set[int], months: set[int]) -> None:
    # 2024 is a leap year: 29 February exists often enough.
    if min(days) > max(calendar.monthrange(2024, month)[1] for month in months):
        raise ValueError(f"{text!r} names a day that none of its months has: it would never run")


def _field(text: str, name: str, low: int, high: int) -> set[int]:
    values: set[int] = set()
    for part in text.split(","):
        values.update(_part(part, name, low, high))
    return values


def _part(part: str, name: str, low: int, high: int) -> range:
    span, slash, step = part.partition("/")
    if slash and (not _is_number(step) or int(step) < 1):
        raise ValueError(f"{part!r} is no {name}: the step after '/' must be a whole number from 1")
    stride = int(step) if slash else 1
    if span == "*":
        return range(low, high + 1, stride)
    first, dash, last = span.partition("-")
    start = _number(first, name, low, high)
    end = _number(last, name, low, high) if dash else start
    if slash and not dash:
        raise ValueError(f"{part!r} is no {name}: a step needs '*' or a range before it")
    if end < start:
        raise ValueError(f"{part!r} is no {name}: the range runs backwards")
    return range(start, end + 1, stride)


def _number(text: str, name: str, low: int, high: int) -> int:
    names = _NAMES.get(name, ())
    if text.lower() in names:
        return names.index(text.lower()) + low
    if not _is_number(text) or not low <= int(text) <= high:
        raise ValueError(f"{text!r} is no {name}: {low} to {high}" + (f" or {names[0]}..{names[-1]}" if names else ""))
    return int(text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER


CronString = Annotated[str, AfterValidator(normalise_cron)]
