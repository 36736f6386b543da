"""`neuroflow status --tsv`: one line for each pipeline and each subject or session that it covers."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from neuroflow.cli.output import escaped
from neuroflow.views.status_cells import Cell, each_cell

if TYPE_CHECKING:
    from neuroflow.config import NeuroflowConfig
    from neuroflow.domain.overview import RunFilter

COLUMNS = (
    "participant_id", "session_id", "pipeline", "status", "run", "attempts", "failure", "reason",
    "started_at", "ended_at", "changed_at", "output",
)  # fmt: skip
MISSING = "n/a"  # as in BIDS
_BREAKS = re.compile(r"[\t\r\n]+")


def write_tsv(config: NeuroflowConfig, wanted: RunFilter) -> None:
    """Write the table to standard output, as it is read."""
    write = sys.stdout.write
    write("\t".join(COLUMNS) + "\n")
    for line in lines_of(each_cell(config, wanted)):
        write(line)


def lines_of(cells: Iterator[Cell]) -> Iterator[str]:
    """Yield one line for each cell of the matrix."""
    for cell in cells:
        run = cell.run
        values: tuple[object, ...] = (
            f"sub-{cell.subject}",
            None if cell.session is None else f"ses-{cell.session}",
            cell.pipeline,
            cell.status,
            run and run.run,
            run and run.attempts,
            run and run.failure,
            cell.reason,
            run and run.started_at,
            run and run.ended_at,
            run and run.changed_at,
            run and run.output,
        )
        yield "\t".join(map(_text, values)) + "\n"


def _text(value: object) -> str:
    if value is None or value == "":
        return MISSING
    if isinstance(value, datetime):
        return f"{value.isoformat(timespec='seconds')[:19]}Z"
    text = str(value)
    return text if text.isprintable() else escaped(_BREAKS.sub(" ", text))
