"""Long lists: how many rows are shown, what is said of the rest, and JSON that is written row by row."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from neuroflow.cli.output import plain_data

if TYPE_CHECKING:
    from collections.abc import Iterable

ON_A_TERMINAL = 50  # rows; a pipe or a file gets all
_ROWS_AT_ONCE = 500


def limit_for_people(limit: int | None, *, as_json: bool) -> int | None:
    """Return the limit that was asked for, or else one where a person reads; None means all."""
    if limit is not None or as_json or not sys.stdout.isatty():
        return limit
    return ON_A_TERMINAL


def tell_of_more(what: str, *, how: str = "--limit shows more") -> None:
    """Say, on standard error, that what was written is not all."""
    click.echo(f"==> {what}; {how} <==", err=True)


def write_json_rows(name: str, rows: Iterable[object]) -> None:
    """Write `{"schema": 1, name: [...]}`, a line for each row, as the rows come: all of them fill no memory."""
    import json

    write = sys.stdout.write
    lines = [f'{{\n  "schema": 1,\n  {json.dumps(name)}: [']  # not written before the first rows could be read
    between = ""
    for row in rows:
        lines.append(f"{between}\n    {json.dumps(plain_data(row))}")
        between = ","
        if len(lines) == _ROWS_AT_ONCE:
            write("".join(lines))
            lines = []
    lines.append("\n  ]\n}\n" if between else "]\n}\n")
    write("".join(lines))
