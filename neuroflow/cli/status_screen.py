"""The screen of `neuroflow status`: one document of it, as what a terminal or a file shows."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from neuroflow.cli.output import escaped, one_line
from neuroflow.cli.status_lines import LEVELS, Line, notes, service_lines
from neuroflow.cli.status_words import BarStyle, age, bar, moment_of, percent, time_left
from neuroflow.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

PIPE_WIDTH = 400  # where no terminal says how wide it is, a program reads, and lines must stay whole
_NARROW = 100
_MOST_LINES = 12
_MOST_RUNS = 20


@dataclass(frozen=True)
class Screen:
    """How a document is shown."""

    now: datetime
    width: int
    style: BarStyle
    source: str = ""  # the snapshot that it was read from

    def parts(self, status: Mapping[str, Any]) -> list[RenderableType]:
        """Return what stands on the screen, from top to bottom.

        Raises:
            UsageError: when the document is not one of ours, as that of another program's file.
        """
        try:
            return list(self._parts(status))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            if not self.source:
                raise
            raise UsageError(
                f"{self.source} is no snapshot of neuroflow's status: {type(error).__name__}: {error}",
                hint="see docs/status.md",
            ) from error

    def _parts(self, status: Mapping[str, Any]) -> Iterator[RenderableType]:
        from rich.text import Text

        yield Text(self._headline(status), "bold")
        yield self._table(status["pipelines"])
        yield from self._lines(self._pace(status))
        yield from self._lines(service_lines(status, now=self.now))
        yield from self._lines(notes(status))
        for title, lines in self._sections(status):
            if lines:
                yield Text(f"\n{title}", "bold")
                shown = [f"  {line}" for line in lines[:_MOST_LINES]]
                more = len(lines) - _MOST_LINES
                yield Text("\n".join([*shown, *([f"  … and {more} more lines (--json has all)"] if more > 0 else [])]))
        if status.get("runs") is not None:
            yield from self._runs(status)

    def _headline(self, status: Mapping[str, Any]) -> str:
        at = moment_of(status["at"])
        if self.source:
            return f"as of {at:%Y-%m-%d %H:%M:%S} UTC, {age(at, self.now)} (snapshot {escaped(self.source)})"
        return f"{at:%Y-%m-%d %H:%M:%S} UTC{_wanted(status['filter'])}"

    def _table(self, rows: Sequence[Mapping[str, Any]]) -> Table:
        from rich.table import Table
        from rich.text import Text

        shown = [row for row in rows if row["enabled"] or row["total"]]
        # Columns that would be empty on most sites are left out.
        optional = [name for name in ("submitting", "cancelled", "closed") if any(row[name] for row in shown)]
        any_held = any(row["held"] for row in shown)
        narrow = self.width < _NARROW
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("pipeline", no_wrap=True)
        table.add_column("", no_wrap=True)
        names = ["done", "of", "", "running", "queued", "waiting"]
        names += ["held"] if any_held else []
        names += ["to come", "failed", *("handed over" if name == "submitting" else name for name in optional)]
        for name in names:
            table.add_column(name, justify="right", no_wrap=True)
        for row in shown:
            waits = row["waiting"] + row["retrying"] + row["again"]
            cells = [row["done"], row["total"], percent(row["done"], row["total"]), row["running"], row["queued"]]
            cells += [0 if row["held"] else waits]
            cells += [waits if row["held"] else 0] if any_held else []
            cells += [row["not_started"]]
            failed = Text(_number(row["failed"]), "red" if row["failed"] else "")
            name = escaped(str(row["pipeline"])) + ("" if row["enabled"] else " (off)")
            table.add_row(
                Text(name, "yellow" if row["held"] else ""),
                bar(row, width=8 if narrow else 20, style=self.style),
                *(Text(_number(cell)) for cell in cells),
                failed,
                *(Text(_number(row[name])) for name in optional),
            )
        return table

    def _pace(self, status: Mapping[str, Any]) -> Iterator[Line]:
        rows = [row for row in status["pipelines"] if row["completed_7d"] is not None and row["total"]]
        if rows:
            yield Line("", "")
        for row in rows:
            failed = f", {row['failed_7d']} failed in 7 days" if row["failed_7d"] else ""
            done = f"{row['completed_24h']} done in 24 h, {row['completed_7d']} in 7 days{failed}"
            yield Line(f"{escaped(str(row['pipeline']))}: {done}; {time_left(row['time_left'])}")
        if rows and status["time_left"] is not None:
            yield Line(f"everything: {time_left(status['time_left'])}", "bold")

    def _lines(self, lines: Iterator[Line]) -> Iterator[RenderableType]:
        from rich.text import Text

        for line in lines:
            yield Text(line.text, LEVELS.get(line.level, ""))

    def _sections(self, status: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
        waiting = status["waiting"]
        if waiting["at"] is None and any(row["not_started"] for row in status["pipelines"]):
            yield "waiting:", ["nobody has looked yet (`neuroflow up`, `neuroflow tick`)"]
        if waiting["at"] is not None:
            at = moment_of(waiting["at"])
            lines = [
                f"{group['count']} {_text(group['pipeline'])}: {_text(group['reason'])}{_examples(group)}"
                for group in waiting["groups"]
            ]
            yield f"waiting (as of {at:%H:%M} UTC, {age(at, self.now)}; `neuroflow why` explains one):", lines
        yield (
            "in the cluster's queue:",
            [
                f"{one['count']} {_text(one['pipeline'])}: {_text(one['reason']) or 'no reason yet'}"
                for one in status["queue"]
            ],
        )
        yield (
            "failed (`neuroflow recovery list`, `neuroflow runs show ID`):",
            [
                f"{one['count']} {_text(one['pipeline'])} {one['failure'] or 'refused'}: {_text(one['reason'])} "
                f"({'run' if one['count'] == 1 else 'the latest is run'} {one['newest_run']}, {_text(one['scope'])})"
                for one in status["failed"]["groups"]
            ],
        )

    def _runs(self, status: Mapping[str, Any]) -> Iterator[RenderableType]:
        from rich.text import Text

        from neuroflow.cli.output import make_table

        runs, total = status["runs"], status["runs_total"]
        yield Text(f"\n{total} run{'' if total == 1 else 's'} match" + ("es:" if total == 1 else ":"), "bold")
        rows = [
            (
                run["run"],
                run["pipeline"],
                run["scope"],
                run["standing"],
                f"{moment_of(run['changed_at']):%Y-%m-%d %H:%M}",
                one_line(run["reason"]),
            )
            for run in runs
        ]
        if rows:
            yield make_table(("run", "pipeline", "scope", "status", "changed (UTC)", "reason"), rows)
        if total > len(runs):
            yield Text(f"… and {total - len(runs)} more (--limit {total}, --tsv or --json)")


def print_screen(status: Mapping[str, Any], *, now: datetime, source: str = "") -> None:
    """Write a document for people."""
    from rich.console import Console

    # Lines stay whole where a program reads them.
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    console = Console(file=sys.stdout, width=width, highlight=False)
    for part in screen_on(console, now=now, source=source).parts(status):
        console.print(part, soft_wrap=width is not None)


def screen_on(console: Console, *, now: datetime, source: str = "") -> Screen:
    """Return the screen of a console."""
    return Screen(now, console.width, BarStyle.of(console.encoding), source)


def _wanted(wanted: Mapping[str, Any]) -> str:
    parts = [
        f"{name} {', '.join(map(str, wanted[key]))}"
        for key, name in (("subjects", "subject"), ("sessions", "session"), ("pipelines", "pipeline"))
        if wanted[key]
    ]
    return f"; only {'; '.join(parts)}" if parts else ""


def _number(cell: object) -> str:
    return "·" if cell == 0 else str(cell)


def _text(value: object) -> str:
    return one_line(str(value))


def _examples(group: Mapping[str, Any]) -> str:
    names = ", ".join(escaped(str(name)) for name in group["examples"])
    return f" ({names}{', …' if group['count'] > len(group['examples']) else ''})" if names else ""
