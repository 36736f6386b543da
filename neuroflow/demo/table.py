"""Set the fractional anisotropy that QSIParc measured per region beside the phantom's truth."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rich.markup import escape
from rich.table import Table

from neuroflow.errors import NotFoundError

GOOD_WITHIN = 0.02  # of the true FA
FAIR_WITHIN = 0.05


class Truth(Protocol):
    """What a region is known to be."""

    @property
    def name(self) -> str:
        """The region's name."""

    @property
    def fa(self) -> float:
        """The region's fractional anisotropy."""


@dataclass(frozen=True)
class RegionRow:
    """One region of one session, measured and true; None where there is no such number."""

    subject: str
    session: str
    region: str
    measured: float | None
    truth: float | None

    @property
    def difference(self) -> float | None:
        """Measured minus true."""
        return None if self.measured is None or self.truth is None else self.measured - self.truth


def region_rows(diffmap_tsvs: Iterable[Path], truth: Mapping[int, Truth]) -> list[RegionRow]:
    """Read the FA rows of QSIParc's `*_diffmap.tsv` files; regions are matched by label.

    Raises NotFoundError when none of the files has a row of FA.
    """
    paths = sorted(diffmap_tsvs)
    rows = [row for path in paths for row in _rows_of(path, truth)]
    if not rows:
        raise NotFoundError(
            f"no row with scalar FA in {len(paths)} *_diffmap.tsv file(s)",
            hint="look into the log of the qsiparc run: it ends with exit code 0 even when a scalar map failed",
        )
    return rows


def _rows_of(path: Path, truth: Mapping[int, Truth]) -> list[RegionRow]:
    entities = dict(re.findall(r"(sub|ses)-([A-Za-z0-9]+)", path.name))
    rows = []
    with path.open(newline="", encoding="utf-8") as stream:
        for line in csv.DictReader(stream, delimiter="\t"):
            if line["scalar"].lower() != "fa":
                continue
            known = truth.get(int(line["index"]))
            rows.append(
                RegionRow(
                    subject=entities.get("sub", ""),
                    session=entities.get("ses", ""),
                    region=known.name if known else line["label"],
                    measured=_number(line["mean"]),
                    truth=known.fa if known else None,
                )
            )
    return rows


def _number(text: str | None) -> float | None:
    value = float(text) if text else math.nan
    return value if math.isfinite(value) else None


def region_table(diffmap_tsvs: Iterable[Path], truth: Mapping[int, Truth]) -> Table:
    """Draw the rows for a terminal."""
    table = Table(title="Mean FA per region", title_justify="left")
    for heading in ("subject", "session", "region"):
        table.add_column(heading)
    for heading in ("measured", "truth", "difference"):
        table.add_column(heading, justify="right")
    for row in region_rows(diffmap_tsvs, truth):
        table.add_row(
            row.subject,
            row.session,
            escape(row.region),
            _text(row.measured),
            _text(row.truth),
            _coloured(row.difference),
        )
    return table


def _text(value: float | None, *, sign: str = "") -> str:
    return "–" if value is None else f"{value:{sign}.3f}"


def _coloured(difference: float | None) -> str:
    if difference is None:
        return _text(None)
    size = abs(difference)
    colour = "green" if size <= GOOD_WITHIN else "yellow" if size <= FAIR_WITHIN else "red"
    return f"[{colour}]{_text(difference, sign='+')}[/{colour}]"
