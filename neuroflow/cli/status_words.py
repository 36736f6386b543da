"""The small texts of a status: bars, spans of time, ages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from neuroflow.cli.output import escaped

if TYPE_CHECKING:
    from rich.text import Text

_IN_FLIGHT = ("running", "queued", "submitting")


@dataclass(frozen=True)
class BarStyle:
    """The signs of a bar: done, under way, failed, still to come."""

    done: str = "█"
    under_way: str = "▒"
    failed: str = "×"
    rest: str = "░"

    @classmethod
    def of(cls, encoding: str) -> BarStyle:
        """Return signs that an encoding has."""
        try:
            "".join(vars(cls()).values()).encode(encoding)
        except (UnicodeEncodeError, LookupError):
            return cls("#", "+", "x", ".")
        return cls()


def bar(row: Mapping[str, Any], *, width: int, style: BarStyle) -> Text:
    """Return a pipeline's progress; what is not nothing gets a sign at least, and only all of it is full."""
    from rich.text import Text

    total = max(int(row["total"]), 1)
    parts = [
        (style.done, "green", int(row["done"])),
        (style.under_way, "cyan", sum(int(row[name]) for name in _IN_FLIGHT)),
        (style.failed, "red", int(row["failed"])),
    ]
    widths = [max(count * width // total, 1 if count else 0) for _, _, count in parts]
    while sum(widths) > width:
        widths[widths.index(max(widths))] -= 1
    text = Text()
    for (sign, colour, _), size in zip(parts, widths, strict=True):
        text.append(sign * size, colour)
    return text.append(style.rest * (width - len(text)), "dim")


def percent(done: int, total: int) -> str:
    """Return a share; 100 % only when nothing is missing."""
    return f"{100 * done // total} %" if total else ""


def span(hours: float) -> str:
    """Return a length of time in the unit that people would use."""
    if hours < 1 / 60:
        return "less than a minute"
    if hours < 1.5:
        return f"{hours * 60:.0f} min"
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} days"


def time_left(left: Mapping[str, Any] | None, *, all_done: bool = True) -> str:
    """Return how long something takes yet, with how that was computed."""
    if left is None:
        return "nothing left" if all_done else "nothing more comes by itself"
    because = escaped(str(left["because"]))
    if left["low_hours"] is None:
        return f"time left {because}"
    low, high = span(float(left["low_hours"])), span(float(left["high_hours"]))
    if low == high:
        return f"about {low} left ({because})"
    low_number, low_unit = low.rsplit(" ", 1)
    same_unit = high.endswith(f" {low_unit}")
    return f"{low_number if same_unit else low} to {high} left ({because})"


def age(moment: datetime, now: datetime) -> str:
    """Return how long ago something was."""
    seconds = (now - moment).total_seconds()
    if seconds < 0:
        return "just now"
    if seconds < 90:
        return f"{seconds:.0f} s ago"
    return f"{span(seconds / 3600)} ago"


def moment_of(value: object) -> datetime:
    """Return the time that a document writes."""
    return datetime.fromisoformat(str(value))
