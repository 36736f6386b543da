"""Write what doctor finds, as it comes, for a person."""

from __future__ import annotations

import socket
import sys

import click

from neuroflow.cli.output import escaped
from neuroflow.doctor.check import Finding, Severity
from neuroflow.doctor.report import blocks, line, summary
from neuroflow.doctor.runner import NOT_LOOKED_AT


class Writer:
    """Writes findings as they come: what is well in a line each, by topic; what is not, in full at the end."""

    def __init__(self, *, quiet: bool) -> None:
        self.findings: list[Finding] = []
        self._quiet = quiet
        self._topic = ""
        self._waiting = 0  # checks that could not be made because of the error of another one
        self._here = socket.gethostname()
        self._shows_progress = sys.stderr.isatty() and not quiet

    def now(self, text: str) -> None:
        """Show what is being done, on a terminal, in a line that the next one replaces."""
        if self._shows_progress:
            click.echo(f"\r\x1b[K… {escaped(text)}\r", nl=False, err=True)

    def add(self, finding: Finding) -> None:
        """Take a finding, and write its line."""
        self.findings.append(finding)
        if self._quiet:
            return
        if finding.what.startswith(NOT_LOOKED_AT):
            self._waiting += 1
            return
        self.now_done()
        if finding.topic != self._topic:
            self._topic = finding.topic
            if len(self.findings) > 1:
                click.echo()
            click.secho(self._topic, bold=True)
        mark = click.style(f"{finding.severity:<8}", fg=_colour(finding.severity))
        click.echo(f"  {mark} {escaped(line(finding, here=self._here))}")

    def now_done(self) -> None:
        """Remove the line of progress."""
        if self._shows_progress:
            click.echo("\r\x1b[K", nl=False, err=True)

    def conclude(self) -> None:
        """Write what somebody has to act on, errors last, and how many there are of each."""
        self.now_done()
        if self._waiting:
            click.echo(f"\n{self._waiting} checks wait until the errors below are mended")
        for severity in (Severity.WARNING, Severity.ERROR):
            for block in blocks((one for one in self.findings if one.severity is severity), here=self._here):
                head, *rest = map(escaped, block)
                click.echo()
                click.secho(head, fg=_colour(severity), bold=True)
                for text in rest:
                    click.echo(text)
        click.echo(f"\n{summary(self.findings)}")


def _colour(severity: Severity) -> str:
    return {"error": "red", "warning": "yellow", "ok": "green"}.get(severity.value, "bright_black")
