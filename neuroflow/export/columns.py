"""The columns of a table: their names, what they mean, and how a record's values become cells.

Tab-separated, as BIDS wants it: https://bids-specification.readthedocs.io/en/stable/common-principles.html#tabular-files
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic, TypeVar

MISSING = "n/a"
# Folder names, log lines and reasons may hold anything: no cell must end a line, steer a terminal, turn the direction
# in which the rest of its line is shown, or be what UTF-8 can't write.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# A spreadsheet would take such a text for a formula, some also in the full width of East Asian scripts; the apostrophe
# makes it a text: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")

Record = TypeVar("Record")
Value = str | int | float | bool | datetime | None


@dataclass(frozen=True)
class Column(Generic[Record]):
    """One column: its value in a record, and its entry in the data dictionary."""

    name: str
    description: str
    value: Callable[[Record], Value]
    units: str = ""
    levels: Mapping[str, str] = field(default_factory=dict)


def row(columns: Sequence[Column[Record]], record: Record) -> str:
    """Return a record's line, with its end."""
    return line(cell(column.value(record)) for column in columns)


def header(columns: Sequence[Column[Record]]) -> str:
    """Return the first line of a table."""
    return line(column.name for column in columns)


def line(cells: Iterable[str]) -> str:
    """Join cells that hold no control characters."""
    return "\t".join(cells) + "\n"


def cell(value: Value) -> str:
    """Write a value as a cell: times in ISO 8601 and UTC, to the second; what is not known as n/a."""
    if isinstance(value, str):  # most are
        return text(value)
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return repr(value) if math.isfinite(value) else MISSING


def text(value: str) -> str:
    """Write a text as a cell on one line, that no reader takes for anything else."""
    clean = value.strip()
    if not clean.isprintable():
        clean = _CONTROL.sub(
            lambda found: found.group().encode("unicode_escape", "surrogatepass").decode("ascii"), clean
        )
    if clean.startswith(_FORMULA):
        clean = f"'{clean}"
    if '"' in clean:  # as BIDS, pandas and R read it
        clean = '"' + clean.replace('"', '""') + '"'
    return clean or MISSING


def dictionary(columns: Iterable[Column[Record]]) -> dict[str, dict[str, object]]:
    """Return the entries of a data dictionary, in BIDS' words."""
    return {column.name: entry(column.description, column.units, column.levels) for column in columns}


def entry(description: str, units: str = "", levels: Mapping[str, str] | None = None) -> dict[str, object]:
    """Return one entry; what is not set is left out."""
    found: dict[str, object] = {"Description": description, "Units": units, "Levels": dict(levels or {})}
    return {name: value for name, value in found.items() if value}
