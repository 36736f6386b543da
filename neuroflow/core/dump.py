"""The backup's file format: gzipped JSON lines of all tables, readable on any database, with a checksum at the end."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from neuroflow.errors import StateError

FORMAT = "neuroflow-backup"
VERSION = 1
# Higher levels cost twice the time for a tenth of the size.
_COMPRESSION = 3
_HINT = "take another backup file; this one must not be used"


@dataclass(frozen=True)
class Header:
    """What a backup is of."""

    neuroflow: str  # the release that took it
    revision: str  # of the schema
    created_at: str  # ISO 8601, UTC
    tables: Mapping[str, Sequence[str]]  # the columns of each, in the order of restoring
    last_ids: Mapping[str, int] = field(default_factory=dict)  # the highest ever given out, by table


@dataclass(frozen=True)
class Summary:
    """A backup that was read to its end and found whole."""

    header: Header
    rows: Mapping[str, int]

    @property
    def total(self) -> int:
        """The number of rows of all tables."""
        return sum(self.rows.values())


def write_dump(stream: BinaryIO, header: Header, rows: Iterable[tuple[str, Sequence[Any]]]) -> Summary:
    """Write a header, the rows with the names of their tables, and the checksum of all of it."""
    counts = dict.fromkeys(header.tables, 0)
    digest = hashlib.sha256()
    with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=_COMPRESSION, mtime=0) as packed:

        def put(value: object) -> None:
            line = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8") + b"\n"
            digest.update(line)
            packed.write(line)

        put({"format": FORMAT, "version": VERSION, **asdict(header)})
        for table, values in rows:
            put([table, *values])
            counts[table] += 1
        packed.write(json.dumps({"rows": counts, "sha256": digest.hexdigest()}).encode("utf-8") + b"\n")
    return Summary(header, counts)


def verify_dump(path: Path) -> Summary:
    """Read a backup to its end, and compare its checksum.

    Raises:
        StateError: when it is none, is cut off or damaged, or comes from a later release.
    """
    header: Header | None = None
    counts: dict[str, int] = {}
    digest = hashlib.sha256()
    for line, value in _lines(path):
        if header is None:
            header = _header(value, path)
            counts = dict.fromkeys(header.tables, 0)
        elif isinstance(value, dict):
            if value.get("sha256") != digest.hexdigest() or value.get("rows") != counts:
                raise StateError(f"the backup {path} is damaged: its checksum is not that of its rows", hint=_HINT)
            return Summary(header, counts)
        else:
            if not isinstance(value, list) or not value or value[0] not in counts:
                raise StateError(f"the backup {path} is damaged: a row belongs to no table", hint=_HINT)
            counts[value[0]] += 1
        digest.update(line)
    raise StateError(f"the backup {path} is cut off: it has no checksum at its end", hint=_HINT)


def read_rows(path: Path) -> Iterator[tuple[str, list[Any]]]:
    """Yield the rows of a backup that was verified, with their tables' names."""
    for _, value in _lines(path):
        if isinstance(value, list):
            yield str(value[0]), value[1:]


def _lines(path: Path) -> Iterator[tuple[bytes, Any]]:
    try:
        with gzip.open(path, "rb") as stream:
            for line in stream:
                yield line, json.loads(line)
    except FileNotFoundError as error:
        raise StateError(f"there is no backup {path}", hint="`neuroflow db backups` lists those there are") from error
    except (EOFError, ValueError, RecursionError, gzip.BadGzipFile, zlib.error) as error:
        raise StateError(f"{path} is no backup of neuroflow, or is damaged: {error}", hint=_HINT) from error
    except OSError as error:
        raise StateError(f"the backup {path} can't be read: {error.strerror or error}", hint="") from error


def _header(value: Any, path: Path) -> Header:
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise StateError(f"{path} is no backup of neuroflow", hint="name a file that `neuroflow db backup` wrote")
    if value.get("version") != VERSION:
        raise StateError(
            f"the backup {path} has format version {value.get('version')}; this neuroflow reads version {VERSION}",
            hint=f"restore it with neuroflow {value.get('neuroflow')} or a later one",
        )
    try:
        return Header(
            neuroflow=str(value["neuroflow"]),
            revision=str(value["revision"]),
            created_at=str(value["created_at"]),
            tables={str(name): [str(column) for column in columns] for name, columns in value["tables"].items()},
            last_ids={str(name): int(last) for name, last in value["last_ids"].items()},
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise StateError(f"the backup {path} is damaged: its header can't be read", hint=_HINT) from error
