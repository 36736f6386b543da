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
_OPTIONAL = ("held", "handed over", "cancelled", "closed")
_SHORT = {
    "running": "run",
    "queued": "queue",
    "waiting": "wait",
    "handed over": "hand",
    "to come": "come",
    "failed": "fail",
    "cancelled": "cancel",
}


def pipeline_table(rows: Sequence[Mapping[str, Any]], *, width: int, style: BarStyle) -> Table:
    """Return the table of the pipelines; one that is switched off and has no runs is left out."""
    from rich.table import Table
    from rich.text import Text

    shown = [row for row in rows if row["enabled"] or row["total"]]
    numbers = [_numbers(row) for row in shown]
    names = [name for name in _names() if name not in _OPTIONAL or any(found[name] for found in numbers)]
    with_bar, bar_width = width >= _NARROW, 20 if width >= _WIDE else 8
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2 if width >= _WIDE else 1, 0, 0))
    table.add_column("pipeline", no_wrap=True, overflow="ellipsis")
    if with_bar:
        table.add_column("", no_wrap=True, min_width=bar_width)
        table.add_column("", no_wrap=True, min_width=5, justify="right")
    for name in names:
        heading = name if width >= _WIDE else _SHORT.get(name, name)
        longest = max([len(heading), *(len(str(found[name])) for found in numbers)])
        table.add_column(heading, justify="right", no_wrap=True, min_width=longest)
    for row, found in zip(shown, numbers, strict=True):
        name = escaped(str(row["pipeline"])) + ("" if row["enabled"] else " (off)")
        progress = [bar(row, width=bar_width, style=style), Text(percent(row["done"], row["total"]))]
        table.add_row(
            Text(name, "yellow" if row["held"] else ""),
            *(progress if with_bar else []),
            *(_cell(name, found[name]) for name in names),
        )
    return table


def _names() -> tuple[str, ...]:
    return (
        *("done", "of", "running", "queued", "handed over", "waiting", "held"),
        *("to come", "failed", "cancelled", "closed"),
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
        "failed": int(row["failed"]),
        "cancelled": int(row["cancelled"]),
        "closed": int(row["closed"]),
    }


def _cell(name: str, number: int) -> Text:
    from rich.text import Text

    return Text("·" if number == 0 else str(number), "red" if name == "failed" and number else "")
