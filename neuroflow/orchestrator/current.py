"""The runs that count now: the newest of each pipeline and scope."""

from __future__ import annotations

from neuroflow.domain import RunRecord, Snapshot


def current_runs(snapshot: Snapshot) -> list[RunRecord]:
    """Return the newest run of each pipeline and scope; one that is to be run again counts no more."""
    newest: dict[tuple[str, str], RunRecord] = {}
    for run in sorted(snapshot.runs, key=lambda run: run.id):
        newest[run.pipeline, run.scope] = run
    return [run for run in newest.values() if not run.superseded]
