"""Show how `neuroflow workflow run --sync` goes: what ended, what is tried again and when, and a table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import click

from neuroflow.cli.output import counted, one_line
from neuroflow.cli.status_screen import PIPE_WIDTH
from neuroflow.cli.status_table import pipeline_table
from neuroflow.cli.status_words import BarStyle
from neuroflow.domain import RunRecord, RunStatus
from neuroflow.views.status import read_status
from neuroflow.views.status_document import document

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from neuroflow.orchestrator.record import Ended
    from neuroflow.orchestrator.services import Services

_MOST_LINES = 10
_MEANWHILE = "Ctrl-C ends this; what was started goes on, and `neuroflow workflow run --sync` does the rest later"


@dataclass
class Progress:
    """What a person sees of a pass that goes on until nothing more can be done."""

    services: Services
    only: str | None  # this pipeline
    failed: set[int] = field(default_factory=set)
    _said: set[tuple[int, datetime | None]] = field(default_factory=set)

    def ended(self, ended: Ended) -> None:
        """Say that an attempt ended; of one that is tried again more is said below."""
        attempt = ended.attempt
        if ended.run_status is RunStatus.RETRY_WAIT:
            return
        reason = ""
        if ended.run_status is RunStatus.FAILED:
            self.failed.add(attempt.run_id)
            reason = f": {one_line(self.services.state.get_run(attempt.run_id).reason)}"
        click.echo(f"run {attempt.run_id} {attempt.pipeline} {attempt.scope}: {ended.run_status}{reason}")

    def say_waits(self) -> None:
        """Say once of each run that it is tried again, and when: this process does nothing until then."""
        held, now = self.services.holds(), self.services.clock()
        waiting = [
            run
            for run in self.services.state.list_runs(pipeline=self.only, status=RunStatus.RETRY_WAIT)
            if run.pipeline not in held and run.next_attempt_at is not None and run.next_attempt_at > now
        ]
        is_first = not self._said
        new = [run for run in waiting if (run.id, run.next_attempt_at) not in self._said]
        self._said |= {(run.id, run.next_attempt_at) for run in new}
        for line in wait_lines(new[::-1]):
            click.echo(line)
        if new and is_first:
            click.echo(_MEANWHILE)


def wait_lines(runs: Sequence[RunRecord]) -> Iterator[str]:
    """Return a line for each run that is tried again; of very many the first, and how long all take."""
    for run in runs[:_MOST_LINES]:
        yield (
            f"run {run.id} {run.pipeline} {run.scope}: {one_line(run.reason)}; "
            f"next attempt at {run.next_attempt_at:%H:%M} UTC"
        )
    more = runs[_MOST_LINES:]
    if more:
        last = max(run.next_attempt_at for run in more if run.next_attempt_at is not None)
        yield f"and {counted(len(more), 'more run')}, the last of them until {last:%H:%M} UTC"


@contextmanager
def shown_table(services: Services) -> Iterator[Callable[[], None]]:
    """Show the table of `neuroflow status` on a terminal, anew at each step; elsewhere once, at the end."""
    from rich.console import Console

    if not sys.stdout.isatty():
        yield lambda: None
        console = Console(file=sys.stdout, width=PIPE_WIDTH, highlight=False)
        console.print(_table(services, console), soft_wrap=True)
        return
    from rich.live import Live

    console = Console(highlight=False)
    with Live(_table(services, console), console=console, auto_refresh=False) as live:
        yield lambda: live.update(_table(services, console), refresh=True)


def _table(services: Services, console: Console) -> Table:
    rows = document(read_status(services.config))["pipelines"]
    return pipeline_table(rows, width=console.width, style=BarStyle.of(console.encoding))
