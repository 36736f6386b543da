"""Find among a witness's rows those that may speak for an attempt, without walking them all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from neuroflow.cluster.job_ids import array_index
from neuroflow.cluster.queue_query import is_listed
from neuroflow.cluster.states import ENDED_STATES
from neuroflow.domain import AccountingRow, AttemptRecord, QueueRow

Row = TypeVar("Row", QueueRow, AccountingRow)


class JobIndex(Generic[Row]):
    """The rows of one witness, by job name and index in the array."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows: dict[tuple[str, int | None], list[Row]] = defaultdict(list)
        for row in rows:
            self._rows[row.token, array_index(row.job_id)].append(row)

    def of(self, attempt: AttemptRecord) -> Sequence[Row]:
        """Return the rows that bear an attempt's job name and index, in the witness's order."""
        # A job id is used again after some years: the name has to fit in any case.
        return self._rows.get((attempt.job_name, attempt.array_index), ())


def pick_queued(rows: Sequence[QueueRow], *, job_id: str | None, claimed: str | None) -> QueueRow | None:
    """Return the row of the job that executes an attempt, or may yet.

    sbatch may have been called twice: until one of the jobs has claimed the folder, the living ones speak for all.
    """
    if claimed is not None:
        return next((row for row in rows if row.job_id == claimed), None)
    living = [row for row in rows if is_listed(row)]
    same = [row for row in rows if row.job_id == job_id]
    return next((row for row in (*living, *same, *rows)), None)


def pick_accounted(rows: Sequence[AccountingRow], *, job_id: str | None) -> AccountingRow | None:
    """Return the row of a job, or of the likeliest one of that name where the id is not known."""
    if job_id is not None:
        return next((row for row in rows if row.job_id == job_id), None)
    going_on = [row for row in rows if row.state not in ENDED_STATES]
    return next((row for row in (*going_on, *reversed(rows))), None)
