"""The table of runs, a line each on any usual terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neuroflow.cli.output import one_line, when, write_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from neuroflow.domain import RunRecord


def write_runs(runs: Sequence[RunRecord], *, empty: str = "no runs") -> None:
    """Write a table of runs; `runs show` has what a narrow terminal has no room for."""
    write_table(
        ("run", "pipeline", "scope", "status", "attempts", "changed", "reason"),
        [_row(run) for run in runs],
        empty=empty,
        shortened="reason",
        left_out=("changed", "attempts"),
    )


def _row(run: RunRecord) -> tuple[object, ...]:
    from neuroflow.domain import RunStatus

    # Of each that is completed it says the same.
    reason = "" if run.status is RunStatus.COMPLETED else one_line(run.reason)
    return run.id, run.pipeline, run.scope, run.status, run.attempts, when(run.updated_at), reason
