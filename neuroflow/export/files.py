"""Put a table and its data dictionary in place, both or neither; or write the table alone to a stream."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from neuroflow import __version__
from neuroflow.cluster.files import remove_stale_drafts
from neuroflow.errors import UsageError

_GENERATED_BY = "GeneratedBy"
_NAME = "neuroflow"
_LARGEST_DICTIONARY_BYTES = 200_000_000


@dataclass(frozen=True)
class TablePaths:
    """Where a table goes, and its dictionary beside it."""

    table: Path
    dictionary: Path


def table_paths(output: Path, *, force: bool) -> TablePaths:
    """Return where to write, once it is clear that nothing else is lost there.

    Raises:
        UsageError: when there is a file that no export wrote, or the folder is missing.
    """
    paths = TablePaths(output, output.with_suffix(".json"))
    if output.suffix != ".tsv":
        raise UsageError(f"--output: '{output}' is no .tsv file", hint=f"name it {output.with_suffix('.tsv').name}")
    if not output.parent.is_dir():
        raise UsageError(f"--output: there is no folder {output.parent}", hint="make it first")
    if force:
        return paths
    for path in (paths.table, paths.dictionary):
        if (path.is_symlink() or path.exists()) and not _is_ours(paths.dictionary):
            raise UsageError(
                f"--output: {path} is there already, and was not written by `neuroflow export`",
                hint="name another file, or replace it with --force",
            )
    return paths


def _is_ours(path: Path) -> bool:
    try:
        if path.stat().st_size > _LARGEST_DICTIONARY_BYTES:
            return False
        generators = json.loads(path.read_text(encoding="utf-8"))[_GENERATED_BY]
        return any(one["Name"] == _NAME for one in generators)
    except (OSError, ValueError, TypeError, KeyError):
        return False


def dictionary_text(entries: Mapping[str, object], *, table: str) -> str:
    """Return a data dictionary: an entry per column, and which table of ours it describes."""
    about = {_GENERATED_BY: [{"Name": _NAME, "Version": __version__, "Description": f"neuroflow export {table}"}]}
    return json.dumps({**entries, **about}, indent=2, ensure_ascii=False) + "\n"


@dataclass
class Draft:
    """A table that is being written beside its place."""

    stream: TextIO
    paths: TablePaths
    temporary: Path

    def publish(self, dictionary: str) -> None:
        """Put the table and its dictionary in place.

        Raises:
            OSError: when that fails; then both are as they were before.
        """
        self.stream.flush()
        os.fsync(self.stream.fileno())
        words = _hidden(self.paths.dictionary)
        before = _hidden(_before(self.paths.dictionary))
        try:
            with _create(words) as stream:
                stream.write(dictionary)
                stream.flush()
                os.fsync(stream.fileno())
            had_one = self.paths.dictionary.exists()
            if had_one:
                self.paths.dictionary.replace(before)
            try:
                words.replace(self.paths.dictionary)
                self.temporary.replace(self.paths.table)
            except OSError:
                self.paths.dictionary.unlink(missing_ok=True)
                if had_one:
                    before.replace(self.paths.dictionary)
                raise
        finally:
            for path in (words, before):
                with suppress(OSError):
                    path.unlink()


@contextmanager
def draft(paths: TablePaths) -> Iterator[Draft]:
    """Open a table beside its place; what was not published is gone afterwards.

    Raises:
        UsageError: when nothing can be written there.
    """
    for path in (paths.table, paths.dictionary, _before(paths.dictionary)):
        remove_stale_drafts(path)
    temporary = _hidden(paths.table)
    try:
        with _create(temporary) as stream:
            yield Draft(stream, paths, temporary)
    except OSError as error:
        raise UsageError(f"{paths.table} can't be written: {error.strerror or error}", hint="") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _before(path: Path) -> Path:
    return path.with_suffix(".before")


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def _create(path: Path) -> TextIO:
    # As open to others as the user's umask says: a table is made to be handed on.
    return path.open("x", encoding="utf-8", newline="")
