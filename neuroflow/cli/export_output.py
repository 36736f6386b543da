"""Where `neuroflow export` writes: a file with its data dictionary, or standard output."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

import click

from neuroflow.cli.output import escaped, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

STANDARD_OUTPUT = "-"


@dataclass(frozen=True)
class Target:
    """Where a table goes, and how that is told."""

    path: Path | None  # None: standard output
    as_json: bool

    @classmethod
    def of(cls, output: str, *, force: bool, as_json: bool) -> Target:
        """Return what the command line asks for.

        Raises:
            UsageError: when the file would replace something else, or two things would go to standard output.
        """
        from pathlib import Path

        from neuroflow.errors import UsageError
        from neuroflow.export.files import table_paths

        if output != STANDARD_OUTPUT:
            return cls(table_paths(Path(output).expanduser(), force=force).table, as_json)
        if as_json:
            raise UsageError("--json tells what was written to a file, and there is no --output", hint="name a file")
        return cls(None, as_json)

    def tell(self, table: str, *, rows: int, about: Mapping[str, object] | None = None) -> None:
        """Say what was written; to standard error, or as JSON to standard output."""
        if self.path is None:
            return
        dictionary = self.path.with_suffix(".json")
        if self.as_json:
            found = {"table": table, "path": self.path, "dictionary": dictionary, "rows": rows}
            write_json({"schema": 1, **found, **(about or {})})
            return
        click.echo(f"{rows} rows in {escaped(str(self.path))}, its columns in {escaped(dictionary.name)}", err=True)


def write_table(
    lines: Iterable[str],
    entries: Callable[[], Mapping[str, object]],
    *,
    table: str,
    path: Path | None,
    at_once: bool = True,
) -> int:
    """Write a table, and its dictionary where it goes to a file; return the number of its rows.

    Args:
        at_once: write each line to standard output as it comes, or all of them only when the last one is there.
    """
    from neuroflow.export.files import dictionary_text, draft, table_paths

    if path is None:
        return _copy(lines, sys.stdout) if at_once else _hold_back(lines)
    with draft(table_paths(path, force=True)) as file:
        rows = _copy(lines, file.stream)
        file.publish(dictionary_text(entries(), table=table))
    return rows


def _hold_back(lines: Iterable[str]) -> int:
    import tempfile

    with tempfile.TemporaryFile("w+", encoding="utf-8") as held:
        rows = _copy(lines, held)
        held.seek(0)
        _copy(held, sys.stdout)
    return rows


def _copy(lines: Iterable[str], stream: TextIO) -> int:
    count = 0
    for count, line in enumerate(lines):  # noqa: B007  # the header is no row
        stream.write(line)
    return count
