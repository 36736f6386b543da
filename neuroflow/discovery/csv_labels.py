"""Read the CSV file that maps scans to labels."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from neuroflow.errors import DiscoveryError

COLUMNS = ("scan_id", "subject")
HINT = "discovery.csv_file is a CSV (comma, UTF-8) with the columns scan_id, subject and, optionally, session"


@dataclass(frozen=True)
class CsvRow:
    """One row, as text: 01 stays 01. `session` may be empty."""

    line: int
    subject: str
    session: str


@dataclass(frozen=True)
class CsvLabels:
    """The rows by scan_id; None where different rows claim one scan_id."""

    source: str
    rows: Mapping[str, CsvRow | None]


def read_csv_labels(path: Path) -> CsvLabels:
    """Read the file.

    Raises:
        DiscoveryError: when it can't be read, or lacks a column.
    """
    try:
        # utf-8-sig: spreadsheets put a byte-order mark first, which would become part of the first column's name.
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return CsvLabels(source=str(path), rows=_rows(csv.DictReader(stream), path))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DiscoveryError(f"the label file '{path}' can't be read: {error}", hint=HINT) from error


def _rows(reader: csv.DictReader[str], path: Path) -> dict[str, CsvRow | None]:
    names = [name.strip() for name in reader.fieldnames or ()]
    missing = [column for column in COLUMNS if column not in names]
    if missing:
        raise DiscoveryError(
            f"the label file '{path}' lacks the column {', '.join(missing)}; it has {names}", hint=HINT
        )
    reader.fieldnames = names
    rows: dict[str, CsvRow | None] = {}
    for cells in reader:
        scan_id = (cells["scan_id"] or "").strip().strip("/")
        if not scan_id:
            continue
        row = CsvRow(
            line=reader.line_num,
            subject=(cells["subject"] or "").strip().removeprefix("sub-"),
            session=(cells.get("session") or "").strip().removeprefix("ses-"),
        )
        known = rows.get(scan_id, row)
        is_same = known is not None and (known.subject, known.session) == (row.subject, row.session)
        rows[scan_id] = row if is_same else None
    return rows
