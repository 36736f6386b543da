"""The screen of `neuroflow status`: one document of it, as what a terminal or a file shows."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from neuroflow.cli.output import escaped, one_line
from neuroflow.cli.status_lines import LEVELS, Line, notes, service_lines
from neuroflow.cli.status_table import pipeline_table
from neuroflow.cli.status_words import BarStyle, age, moment_of, time_left
from neuroflow.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

PIPE_WIDTH = 400  # where no terminal says how wide it is, a program reads, and lines must stay whole
_MOST_LINES = 12


@dataclass(frozen=True)
class Counted:
    """How often something is so."""

    count: int | None
    text: str


@dataclass(frozen=True)
class Screen:
    """How a document is shown."""

    now: datetime
    width: int
    style: BarStyle
    wraps: bool  # whether long lines are to be folded: a person reads them on a terminal
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
        yield pipeline_table(status["pipelines"], width=self.width, style=self.style)
        for line in (*self._pace(status), *service_lines(status, now=self.now), *notes(status)):
            yield Text(line.text, LEVELS.get(line.level, ""))
        for title, lines in self._sections(status):
            if lines:
                yield Text(f"\n{title}", "bold")
                yield self._section(lines)
        if status.get("runs") is not None:
            yield from self._runs(status["runs"], status["runs_total"])

    def _headline(self, status: Mapping[str, Any]) -> str:
        at = moment_of(status["at"])
        if self.source:
            return f"as of {at:%Y-%m-%d %H:%M:%S} UTC, {age(at, self.now)} (snapshot {escaped(self.source)})"
        return f"{at:%Y-%m-%d %H:%M:%S} UTC{_wanted(status['filter'])}"

    def _pace(self, status: Mapping[str, Any]) -> Iterator[Line]:
        rows = [row for row in status["pipelines"] if row["completed_7d"] is not None and row["total"]]
        if rows:
            yield Line("")
        for row in rows:
            failed = f", {row['failed_7d']} failed in 7 days" if row["failed_7d"] else ""
            done = f"{row['completed_24h']} done in 24 h, {row['completed_7d']} in 7 days{failed}"
            yield Line(f"{escaped(str(row['pipeline']))}: {done}; {time_left(row['time_left'])}")
        if rows and status["time_left"] is not None:
            yield Line(f"everything: {time_left(status['time_left'])}", "bold")

    def _sections(self, status: Mapping[str, Any]) -> Iterator[tuple[str, list[Counted]]]:
        waiting = status["waiting"]
        if waiting["at"] is not None:
            at = moment_of(waiting["at"])
            lines = [
                Counted(one["count"], f"{_text(one['pipeline'])}: {_text(one['reason'])}{_examples(one)}")
                for one in waiting["groups"]
            ]
            yield f"waiting, as of {at:%H:%M} UTC, {age(at, self.now)}:", lines
        elif any(row["not_started"] for row in status["pipelines"]):
            yield "waiting:", [Counted(None, "nobody has looked yet (`neuroflow up`, `neuroflow tick`)")]
        yield (
            "in the cluster's queue:",
            [
                Counted(one["count"], f"{_text(one['pipeline'])}: {_text(one['reason']) or 'no reason yet'}")
                for one in status["queue"]
            ],
        )
        yield (
            "failed (`neuroflow recovery list`, `neuroflow runs show ID`):",
            [
                Counted(
                    one["count"],
                    f"{_text(one['pipeline'])} {_text(one['failure'] or 'refused')}: {_text(one['reason'])} "
                    f"({'run' if one['count'] == 1 else 'the latest is run'} {one['newest_run']}, "
                    f"{_text(one['scope'])})",
                )
                for one in status["failed"]["groups"]
            ],
        )

    def _section(self, lines: Sequence[Counted]) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

        more = len(lines) - _MOST_LINES
        rest = [Counted(None, f"… and {more} more lines (--json has all)")] if more > 0 else []
        shown = [*lines[:_MOST_LINES], *rest]
        if not self.wraps:
            texts = [line.text if line.count is None else f"{line.count} {line.text}" for line in shown]
            return Text("\n".join(f"  {text}" for text in texts))
        grid = Table.grid(padding=(0, 1))
        grid.add_column(justify="right", no_wrap=True, min_width=4)
        grid.add_column()
        for line in shown:
            grid.add_row(Text("" if line.count is None else str(line.count)), Text(line.text))
        return grid

    def _runs(self, runs: Sequence[Mapping[str, Any]], total: int) -> Iterator[RenderableType]:
        from rich.table import Table
        from rich.text import Text

        yield Text(f"\n{total} run matches:" if total == 1 else f"\n{total} runs match:", "bold")
        if runs:
            table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0), expand=self.wraps)
            for name in ("run", "pipeline", "scope", "status", "changed (UTC)"):
                table.add_column(name, no_wrap=True)
            # On a terminal it gets what the others leave.
            table.add_column("reason", no_wrap=True, overflow="ellipsis", ratio=1 if self.wraps else None)
            for run in runs:
                changed = f"{moment_of(run['changed_at']):%Y-%m-%d %H:%M}"
                cells = (run["run"], run["pipeline"], run["scope"], run["standing"], changed, run["reason"])
                table.add_row(*(Text(_text(cell)) for cell in cells))
            yield table
        if total > len(runs):
            yield Text(f"… and {total - len(runs)} more (--limit {total}, --tsv or --json)")


def print_screen(status: Mapping[str, Any], *, now: datetime, source: str = "") -> None:
    """Write a document for people."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else PIPE_WIDTH
    console = Console(file=sys.stdout, width=width, highlight=False)
    for part in screen_on(console, now=now, source=source).parts(status):
        console.print(part, soft_wrap=width is not None)


def screen_on(console: Console, *, now: datetime, source: str = "") -> Screen:
    """Return the screen of a console."""
    style = BarStyle.of(console.encoding)
    return Screen(now, console.width, style, wraps=console.is_terminal, source=source)


def _wanted(wanted: Mapping[str, Any]) -> str:
    parts = [
        f"{name} {', '.join(map(str, wanted[key]))}"
        for key, name in (("subjects", "subject"), ("sessions", "session"), ("pipelines", "pipeline"))
        if wanted[key]
    ]
    return f"; only {'; '.join(parts)}" if parts else ""


def _text(value: object) -> str:
    return one_line(str(value))


def _examples(group: Mapping[str, Any]) -> str:
    names = ", ".join(escaped(str(name)) for name in group["examples"])
    return f" ({names}{', …' if group['count'] > len(group['examples']) else ''})" if names else ""
