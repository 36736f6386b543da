"""Show lines of the services' logs: for people, or as they are."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from neuroflow.cli.log_text import cleaned
from neuroflow.cli.output import when

if TYPE_CHECKING:
    from neuroflow.views.service_log import Entry

_COLORS = {"warning": "yellow", "error": "red", "critical": "red"}
# Shown by themselves, or by where a line stands.
_LEFT_OUT = frozenset({"timestamp", "level", "event", "service", "logger", "exception", "stack"})


def write_entry(entry: Entry, *, raw: bool) -> None:
    """Write a line; `raw` gives it as it is in the file."""
    if raw:
        sys.stdout.buffer.write(entry.raw + b"\n")
        sys.stdout.buffer.flush()
        return
    click.echo(entry_text(entry, color=sys.stdout.isatty() and not os.environ.get("NO_COLOR")))


def entry_text(entry: Entry, *, color: bool = False) -> str:
    """Return a line for people: when, how grave, whose, what, and the values."""
    values = entry.values
    if not values:
        return cleaned(entry.text)
    level = _plain(values.get("level", ""))
    shown = f"{level:<8}"
    if color and level in _COLORS:
        shown = click.style(shown, fg=_COLORS[level])
    moment = when(entry.at) if entry.at is not None else _plain(values.get("timestamp", ""))
    head = f"{moment}  {shown}  {_plain(values.get('service', '')):<6}  {_plain(values.get('event', ''))}"
    details = "  ".join(f"{_plain(name)}={_shown(value)}" for name, value in values.items() if name not in _LEFT_OUT)
    more = [str(values[name]) for name in ("exception", "stack") if values.get(name)]
    lines = [f"{head}  {details}".rstrip(), *(f"    {line}" for text in more for line in cleaned(text).splitlines())]
    return "\n".join(lines)


def _plain(value: object) -> str:
    """Return a value in one line."""
    return cleaned(str(value)).replace("\n", "\\n")


def _shown(value: Any) -> str:
    text = _plain(value)
    return repr(text) if " " in text or not text else text
