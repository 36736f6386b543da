"""Write results for people (tables, lines) and for programs (JSON)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.table import Table

# Text from folder names and DICOM headers must not steer a terminal.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
# Where no terminal says how wide it is, a program reads, and lines must stay whole.
_PIPE_WIDTH = 400


def write_json(value: Any) -> None:
    """Write a value of ours as JSON."""
    import json

    click.echo(json.dumps(plain_data(value), indent=2))


def plain_data(value: Any) -> Any:
    """Turn dataclasses, times, paths and sets into what JSON knows."""
    from collections.abc import Mapping, Set
    from dataclasses import fields, is_dataclass
    from datetime import datetime
    from enum import Enum

    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain_data(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain_data(item) for key, item in value.items()}
    if isinstance(value, Set):
        return sorted(plain_data(item) for item in value)
    if isinstance(value, list | tuple):
        return [plain_data(item) for item in value]
    return str(value)


def one_line(text: str) -> str:
    """Return the first line of a text, with its control characters escaped."""
    lines = text.strip().splitlines()
    return escaped(lines[0]) if lines else ""


def escaped(text: str) -> str:
    """Escape control characters, tabs apart."""
    return _CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), text)


def make_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Build a table; None is shown as an empty cell."""
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text("" if cell is None else escaped(str(cell))) for cell in row))
    return table


def write_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """Write a table, or `empty` where there are no rows."""
    import sys

    from rich.console import Console

    if not rows:
        click.echo(empty)
        return
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    console = Console(file=sys.stdout, width=width, soft_wrap=width is not None, highlight=False)
    console.print(make_table(columns, rows))


def write_values(values: Mapping[str, object]) -> None:
    """Write `name: value` lines; what is not set is left out."""
    for name, value in values.items():
        if value is None or value in ("", (), {}):
            continue
        click.echo(f"{name + ':':<14} {escaped(str(value))}")


def when(moment: Any) -> str:
    """Return a time for people, in UTC."""
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"
