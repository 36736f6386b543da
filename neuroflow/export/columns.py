"""The columns of a table: their names, what they mean, and how a record's values become cells.

Tab-separated, as BIDS wants it: https://bids-specification.readthedocs.io/en/stable/common-principles.html#tabular-files
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic, TypeVar

MISSING = "n/a"
# Folder names, log lines and reasons may hold anything: no cell must end a line, or steer a terminal.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# A spreadsheet would take such a text for a formula; the apostrophe makes it a text.
_FORMULA = ("=", "+", "-", "@")

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
    return repr(value)


def text(value: str) -> str:
    """Write a text as a cell on one line, that no reader takes for anything else."""
    clean = value.strip()
    if not clean.isprintable():
        clean = _CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), clean)
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
