"""Show text that others wrote: as it is to a program, and to a terminal so that it can't steer it."""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from neuroflow.cli.output import escaped

if TYPE_CHECKING:
    from collections.abc import Iterator

# Colours and movements of the cursor (CSI), titles and links (OSC and its like), and short sequences; ECMA-48, 5.4.
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]"
)
_LINE_LIMIT = 64 * 1024
_INTERRUPTED = 130  # 128 + SIGINT, as a shell says it


def cleaned(text: str) -> str:
    """Take colour codes out of a text, and escape what else would steer a terminal; a carriage return ends a line."""
    plain = _SEQUENCES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return "\n".join(escaped(line) for line in plain.split("\n"))


class LogWriter:
    """Writes pieces of logs to standard output: cleaned, line by line, where that is a terminal."""

    def __init__(self, *, clean: bool | None = None) -> None:
        self._clean = sys.stdout.isatty() if clean is None else clean
        self._rest = b""

    def write(self, piece: bytes) -> None:
        """Write a piece; of a terminal's, the last line is kept until its end comes, or it is very long."""
        if not self._clean:
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            return
        self._rest += piece
        end = max(self._rest.rfind(b"\n"), self._rest.rfind(b"\r")) + 1
        if len(self._rest) - end > _LINE_LIMIT:
            end = len(self._rest)
        if end:
            self._show(self._rest[:end])
            self._rest = self._rest[end:]

    def flush(self) -> None:
        """Write what is left."""
        if self._rest:
            self._show(self._rest)
            self._rest = b""

    def _show(self, data: bytes) -> None:
        click.echo(cleaned(data.decode("utf-8", "replace")), nl=False)


@contextmanager
def ending_on_ctrl_c() -> Iterator[None]:
    """End with the exit code of an interrupted program, and no more words, when a person presses Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        raise click.exceptions.Exit(_INTERRUPTED) from None


def say(text: str) -> None:
    """Say something beside a log, which goes to standard output alone."""
    from neuroflow.cli.output import one_line

    click.echo(f"==> {one_line(text)} <==", err=True)
