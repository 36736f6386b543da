"""The table of a status: one line for each pipeline, whose numbers are whole on any terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from neuroflow.cli.output import escaped
from neuroflow.cli.status_words import BarStyle, bar, percent

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

_WIDE, _NARROW = 110, 80  # columns of a terminal
# For the columns that most sites don't need: shown where there is something in them.
_OPTIONAL = ("out of date", "held", "handed over", "cancelled", "closed")
# In two lines, where a terminal is narrow.
_FOLDED = {"out of date": "out of\ndate", "handed over": "handed\nover", "to come": "to\ncome"}
_PERCENT_WIDTH = 5
_LEAST_NAME = 8
_COLOURS = {"failed": "red", "out of date": "yellow"}


def pipeline_table(rows: Sequence[Mapping[str, Any]], *, width: int, style: BarStyle) -> Table:
    """Return the table of the pipelines; one that is switched off and has no runs is left out."""
    from rich.table import Table
    from rich.text import Text

    shown = [row for row in rows if row["enabled"] or row["total"]]
    numbers = [_numbers(row) for row in shown]
    names = [name for name in _names() if name not in _OPTIONAL or any(found[name] for found in numbers)]
    gap, bar_width = (2, 20) if width >= _WIDE else (1, 8)
    headings = {name: name if width >= _WIDE else _FOLDED.get(name, name) for name in names}
    widths = {
        name: max(len(text) for text in (*headings[name].split("\n"), *(str(found[name]) for found in numbers)))
        for name in names
    }
    longest = max((len(_name(row)) for row in shown), default=0)
    needed = sum(size + gap for size in (longest, bar_width, _PERCENT_WIDTH, *widths.values()))
    with_bar = width >= max(_NARROW, needed - gap)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, gap, 0, 0))
    # Rather a name is cut than a number.
    numbers_width = sum(size + gap for size in widths.values())
    most = None if with_bar else max(width - numbers_width, _LEAST_NAME)
    table.add_column("pipeline", no_wrap=True, overflow="ellipsis", max_width=most)
    if with_bar:
        table.add_column("", no_wrap=True, min_width=bar_width)
        table.add_column("", no_wrap=True, min_width=_PERCENT_WIDTH, justify="right")
    for name in names:
        table.add_column(headings[name], justify="right", no_wrap=True, min_width=widths[name])
    for row, found in zip(shown, numbers, strict=True):
        progress = [bar(row, width=bar_width, style=style), Text(percent(row["done"], row["total"]))]
        table.add_row(
            Text(_name(row), "yellow" if row["held"] else ""),
            *(progress if with_bar else []),
            *(_cell(name, found[name]) for name in names),
        )
    return table


def _name(row: Mapping[str, Any]) -> str:
    return escaped(str(row["pipeline"])) + ("" if row["enabled"] else " (off)")


def _names() -> tuple[str, ...]:
    return (
        *("done", "of", "running", "queued", "handed over", "waiting", "held"),
        *("to come", "out of date", "failed", "cancelled", "closed"),
    )


def _numbers(row: Mapping[str, Any]) -> dict[str, int]:
    waits = int(row["waiting"]) + int(row["retrying"]) + int(row["again"])
    return {
        "done": int(row["done"]),
        "of": int(row["total"]),
        "running": int(row["running"]),
        "queued": int(row["queued"]),
        "handed over": int(row["submitting"]),
        "waiting": 0 if row["held"] else waits,
        "held": waits if row["held"] else 0,
        "to come": int(row["not_started"]),
        "out of date": int(row.get("out_of_date") or 0),  # snapshots of former releases don't have it
        "failed": int(row["failed"]),
        "cancelled": int(row["cancelled"]),
        "closed": int(row["closed"]),
    }


def _cell(name: str, number: int) -> Text:
    from rich.text import Text

    return Text("·" if number == 0 else str(number), _COLOURS.get(name, "") if number else "")
