"""The table of runs, a line each on any usual terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neuroflow.cli.output import one_line, when, write_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from neuroflow.core.state import StateManager
    from neuroflow.domain import RunRecord


def write_runs(state: StateManager, runs: Sequence[RunRecord], *, empty: str = "no runs") -> None:
    """Write a table of runs; `runs show` has what a narrow terminal has no room for."""
    newest = _newest(state, runs)
    write_table(
        ("run", "pipeline", "scope", "status", "attempts", "changed", "reason"),
        [_row(run, newest) for run in runs],
        empty=empty,
        shortened="reason",
        left_out=("changed", "attempts"),
    )


def _newest(state: StateManager, runs: Sequence[RunRecord]) -> dict[tuple[str, str], int]:
    """Return the present run of whatever has a run here that ended without results, or is asked for again."""
    from neuroflow.domain import RunStatus

    ended_badly = (RunStatus.FAILED, RunStatus.CANCELLED)
    subjects = {run.subject_id for run in runs if run.superseded or run.status in ended_badly}
    return {(run.pipeline, run.scope): run.id for run in state.present_runs(subjects)} if subjects else {}


def _row(run: RunRecord, newest: Mapping[tuple[str, str], int]) -> tuple[object, ...]:
    from neuroflow.domain import RunStatus

    # Of each that is completed it says the same.
    reason = "" if run.status is RunStatus.COMPLETED else one_line(run.reason)
    follower = newest.get((run.pipeline, run.scope), 0)
    if follower > run.id:
        reason = f"replaced by run {follower}: {reason}"
    elif run.superseded and follower == run.id:
        reason = f"to be run again{': ' if reason else ''}{reason}"
    return run.id, run.pipeline, run.scope, run.status, run.attempts, when(run.updated_at), reason
