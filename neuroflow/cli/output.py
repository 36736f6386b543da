"""Write results for people (tables, lines) and for programs (JSON)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from neuroflow.wording import counted as counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import Console
    from rich.table import Table

# Text from folder names and DICOM headers must not steer a terminal.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# Where no terminal says how wide it is, a program reads, and lines must stay whole.
_PIPE_WIDTH = 400
_IN_ASCII = str.maketrans(
    {"…": "...", "–": "-", "—": "-", "→": "->", "─": "-", "━": "-", "·": ".", "×": "x", "■": "#", "█": "#", "✓": "+"}
)
_GAP = 2  # between two columns
_WELL_SHORTENED, _LEAST_SHORTENED = 24, 16  # of a column whose cells are cut
_LEAST_FOLDED = 24  # of the one column that is folded to make a table fit


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


def never_fail_to_write() -> None:
    """Let standard output and error take any text: what their encoding lacks is written in plain letters."""
    import codecs
    import io
    import sys

    codecs.register_error("neuroflow", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="neuroflow")


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    # A lone surrogate stands for a byte of a file's name that is no UTF-8.
    text = error.object[error.start : error.end].translate(_IN_ASCII)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end


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


def make_console() -> Console:
    """Return a console on standard output: plain where it is no terminal, or NO_COLOR or CLICOLOR=0 asks for that.

    See https://no-color.org and https://bixense.com/clicolors; rich itself knows FORCE_COLOR and TERM=dumb.
    """
    import os
    import sys

    from rich.console import Console

    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    is_plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("CLICOLOR") == "0"
    is_forced = os.environ.get("CLICOLOR_FORCE", "0") not in ("", "0") and not is_plain
    return Console(
        file=sys.stdout,
        width=width,
        soft_wrap=width is not None,
        highlight=False,
        color_system=None if is_plain else "auto",
        force_terminal=True if is_forced else None,
    )


def no_match(total: int, noun: str) -> str:
    """Say that of so many things none was asked for."""
    return f"none of {counted(total, noun)} matches" if total > 1 else f"there is one {noun}, and it does not match"


def write_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    empty: str,
    shortened: str = "",
    left_out: Sequence[str] = (),
) -> None:
    """Write a table, or `empty` where there are no rows.

    On a terminal that is too narrow its longest column is folded, or each row becomes lines of `name: value`.

    Args:
        shortened: the column whose cells are cut before that, as long as they say something.
        left_out: columns that are left out for its sake, one after the other.
    """
    if not rows:
        click.echo(empty)
        return
    console = make_console()
    widths = _widths(columns, rows)
    for name in left_out:
        if _excess(widths, console) <= max(widths[columns.index(shortened)] - _WELL_SHORTENED, 0):
            break
        columns, rows = _without(name, columns, rows)
        widths = _widths(columns, rows)
    if shortened and _excess(widths, console) > 0:
        rows = _shorten(
            columns.index(shortened), rows, width=widths[columns.index(shortened)] - _excess(widths, console)
        )
        widths = _widths(columns, rows)
    excess = _excess(widths, console)
    if excess > 0 and max(widths) - excess < _LEAST_FOLDED:
        _write_rows(columns, rows)
        return
    if not console.is_terminal and excess <= 0:
        _write_plain(columns, rows)
        return
    table = make_table(columns, rows)
    for column, width in zip(table.columns, widths, strict=True):
        column.no_wrap = width < max(widths)
    console.print(table)


def _write_plain(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a table as rich would without colours; rich takes 0.3 ms for a row, and lists may have 100,000."""
    import sys

    from rich.cells import cell_len

    texts = [["" if cell is None else escaped(str(cell)).expandtabs(8) for cell in row] for row in (columns, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        cells = (cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write((" " * _GAP).join(cells) + "\n")


def _widths(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[int]:
    return [
        max(len("" if cell is None else str(cell)) for cell in column) for column in zip(columns, *rows, strict=True)
    ]


def _excess(widths: Sequence[int], console: Console) -> int:
    return sum(widths) + _GAP * (len(widths) - 1) - console.width


def _without(
    name: str, columns: Sequence[str], rows: Sequence[Sequence[object]]
) -> tuple[Sequence[str], Sequence[Sequence[object]]]:
    place = columns.index(name)
    return (*columns[:place], *columns[place + 1 :]), [(*row[:place], *row[place + 1 :]) for row in rows]


def _shorten(place: int, rows: Sequence[Sequence[object]], *, width: int) -> Sequence[Sequence[object]]:
    if width < _LEAST_SHORTENED:
        return rows
    return [(*row[:place], _cut(str(row[place] or ""), width), *row[place + 1 :]) for row in rows]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def _write_rows(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    for number, row in enumerate(rows):
        if number:
            click.echo()
        write_values(dict(zip(columns, row, strict=True)))


def write_values(values: Mapping[str, object]) -> None:
    """Write `name: value` lines; what is not set is left out."""
    for name, value in values.items():
        if value is None or value in ("", (), {}):
            continue
        click.echo(f"{name + ':':<14} {escaped(str(value))}")


def when(moment: Any) -> str:
    """Return a time for people, in UTC."""
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"
