"""The screen of `neuroflow status`: one document of it, as what a terminal or a file shows."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from neuroflow.cli.output import counted, escaped, one_line
from neuroflow.cli.status_fit import fitted
from neuroflow.cli.status_lines import LEVELS, Line, notes, out_of_date_lines, service_lines
from neuroflow.cli.status_table import pipeline_table
from neuroflow.cli.status_words import BarStyle, age, moment_of, time_left
from neuroflow.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

PIPE_WIDTH = 400  # where no terminal says how wide it is, a program reads, and lines must stay whole
_MOST_LINES = 12
_COUNT_WIDTH = 4
# With less than this, a reason stands in lines of its own.
_REASON_WIDTH = 50


@dataclass(frozen=True)
class Counted:
    """How often something is so."""

    count: int | None
    text: str
    message: str = ""  # of what failed: cut where it is too long for a terminal

    def whole(self) -> str:
        """Return all that is said, in one line."""
        return f"{self.text} {self.message}" if self.message else self.text

    def within(self, width: int) -> str:
        """Return what a terminal shows: a message that is too long gets lines of its own."""
        if not self.message or len(self.whole()) <= width:
            return self.whole()
        return "\n".join([self.text, *fitted(self.message, width=width)])


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
        old = out_of_date_lines(status, now=self.now)
        for line in (*self._pace(status), *old, *service_lines(status, now=self.now), *notes(status)):
            yield Text(line.text, LEVELS.get(line.level, ""))
        for title, lines in self._sections(status):
            if lines:
                yield Text(f"\n{title}", "bold")
                yield self._section(lines)
        only_cells = status.get("cells") is not None and not status.get("runs")
        if status.get("runs") is not None and not only_cells:
            yield from self._runs(status["runs"], status["runs_total"])
        if status.get("cells") is not None:
            yield Text("\nwithout a run, or out of date (--limit, --tsv and --json list more):", "bold")
            yield Text("\n".join(map(_cell, status["cells"])) or "  none")

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
            left = time_left(row["time_left"], all_done=row["done"] == row["total"])
            done = f"{row['completed_24h']} done in 24 h, {row['completed_7d']} in 7 days{failed}"
            yield Line(f"{escaped(str(row['pipeline']))}: {done}; {left}")
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
        failed = status["failed"]["groups"]
        show = f", `neuroflow runs show {int(failed[0]['newest_run'])}`" if failed else ""
        yield (
            f"failed (`neuroflow recovery list`{show}):",
            [
                Counted(
                    one["count"],
                    f"({'run' if one['count'] == 1 else 'the latest is run'} {one['newest_run']}, "
                    f"{_text(one['scope'])}) {_text(one['pipeline'])} {_text(one['failure'] or 'refused')}:",
                    message=_text(one["reason"]),
                )
                for one in failed
            ],
        )

    def _section(self, lines: Sequence[Counted]) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

        more = len(lines) - _MOST_LINES
        rest = [Counted(None, f"… and {more} more lines (--json has all)")] if more > 0 else []
        shown = [*lines[:_MOST_LINES], *rest]
        if not self.wraps:
            texts = [line.whole() if line.count is None else f"{line.count} {line.whole()}" for line in shown]
            return Text("\n".join(f"  {text}" for text in texts))
        grid = Table.grid(padding=(0, 1))
        grid.add_column(justify="right", no_wrap=True, min_width=_COUNT_WIDTH)
        grid.add_column()
        for line in shown:
            count = "" if line.count is None else str(line.count)
            grid.add_row(Text(count), Text(line.within(self.width - max(len(count), _COUNT_WIDTH) - 1)))
        return grid

    def _runs(self, runs: Sequence[Mapping[str, Any]], total: int) -> Iterator[RenderableType]:
        from rich.text import Text

        if not total:
            yield Text("\nno run matches", "bold")
            return
        yield Text(f"\n{counted(total, 'run matches', 'runs match')}:", "bold")
        if runs:
            yield Text("\n").join(map(Text, self._run_lines(runs)))
        if total > len(runs):
            yield Text(f"… and {total - len(runs)} more (--limit {total}, --tsv or --json)")

    def _run_lines(self, runs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        heads = ("run", "scope", "pipeline", "status", "changed (UTC)")
        rows = [heads, *(_run_cells(run) for run in runs)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)) for row in rows]
        used = len(lines[0]) + 2
        own_lines = self.wraps and self.width - used < _REASON_WIDTH
        yield lines[0].rstrip() if own_lines else f"{lines[0]}  reason"
        for run, line in zip(runs, lines[1:], strict=True):
            reason = _text(run["reason"])
            if own_lines:
                yield line.rstrip()
                yield from (f"    {part}" for part in fitted(reason, width=self.width - 4))
            elif self.wraps:
                first, *rest = fitted(reason, width=self.width - used) or [""]
                yield f"{line}  {first}".rstrip()
                yield from (f"{'':{used}}{part}" for part in rest)
            else:
                yield f"{line}  {reason}".rstrip()


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
        for key, name in (
            ("subjects", "subject"),
            ("sessions", "session"),
            ("pipelines", "pipeline"),
            ("status", "status"),
        )
        if wanted[key]
    ]
    if wanted["since"]:
        parts.append(f"changed since {moment_of(wanted['since']):%Y-%m-%d %H:%M} UTC")
    return f"; only {'; '.join(parts)}" if parts else ""


def _run_cells(run: Mapping[str, Any]) -> tuple[str, ...]:
    changed = f"{moment_of(run['changed_at']):%Y-%m-%d %H:%M}"
    standing = f"{run['standing']}, out of date" if run.get("out_of_date") else run["standing"]
    return tuple(_text(cell) for cell in (run["run"], run["scope"], run["pipeline"], standing, changed))


def _cell(cell: Mapping[str, Any]) -> str:
    run = "" if cell["run"] is None else f" (run {cell['run']})"
    return f"  {_text(cell['pipeline'])} of {_text(cell['scope'])}: {str(cell['status']).replace('_', ' ')}{run}"


def _text(value: object) -> str:
    return one_line(str(value))


def _examples(group: Mapping[str, Any]) -> str:
    names = ", ".join(escaped(str(name)) for name in group["examples"])
    return f" ({names}{', …' if group['count'] > len(group['examples']) else ''})" if names else ""
