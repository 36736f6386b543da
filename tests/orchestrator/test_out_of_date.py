"""Which completed runs are not over the present inputs, and how many of each pipeline are kept for the status."""

from __future__ import annotations

import json
from dataclasses import replace

from neuroflow.domain import RunRecord, RunStatus, SessionRecord, SessionStatus
from neuroflow.orchestrator.out_of_date import OutOfDateCount, count_out_of_date, counts_of, still_out_of_date
from neuroflow.orchestrator.plan import OutOfDate
from neuroflow.orchestrator.registry import get_registry
from neuroflow.orchestrator.scheduler import plan_runs
from tests.orchestrator.builders import converted, run, session, snapshot

A = session(1, label="a")
REGISTRY = get_registry()
CONVERSION = "bids_conversion"


def finished(*more: RunRecord) -> tuple[RunRecord, ...]:
    """Return every run of session a, all completed, and later ones."""
    return (
        converted(1, A),
        run(2, "qsiprep", A, f"{CONVERSION}:1"),
        run(3, "qsirecon", A, "qsiprep:2"),
        run(4, "qsiparc", A, "qsirecon:3"),
        *more,
    )


def counts(of: SessionRecord, *more: RunRecord) -> dict[str, tuple[int, int]]:
    seen = snapshot((of,), *finished(*more))
    found = count_out_of_date(still_out_of_date(plan_runs(seen, REGISTRY).out_of_date, seen.runs))
    return {name: (one.coming, one.blocked) for name, one in found.items()}


def test_nothing_is_where_all_is_over_the_present_inputs() -> None:
    assert counts(A) == {}


def test_what_was_made_from_a_result_whose_rerun_failed_is_blocked() -> None:
    assert counts(A, run(5, "qsirecon", A, "qsiprep:2", RunStatus.FAILED)) == {"qsiparc": (0, 1)}


def test_what_is_downstream_of_a_rerun_is_to_be_run_again() -> None:
    again = run(5, "qsiprep", A, f"{CONVERSION}:1", RunStatus.RUNNING)
    assert counts(A, again) == {"qsirecon": (1, 0), "qsiparc": (1, 0)}


def test_all_is_downstream_of_a_conversion_that_failed_over_new_files() -> None:
    changed = replace(A, fingerprint="new")
    failed = run(5, CONVERSION, changed, "dicom:new", RunStatus.FAILED)
    assert counts(changed, failed) == {"qsiprep": (0, 1), "qsirecon": (0, 1), "qsiparc": (0, 1)}


def test_so_is_a_session_with_new_files_before_anything_was_opened_and_while_they_arrive() -> None:
    every = dict.fromkeys((CONVERSION, "qsiprep", "qsirecon", "qsiparc"), (1, 0))
    assert counts(replace(A, fingerprint="new")) == every
    assert counts(replace(A, fingerprint="new", status=SessionStatus.SETTLING)) == every


def test_a_session_that_is_left_out_keeps_what_it_has() -> None:
    assert counts(replace(A, status=SessionStatus.EXCLUDED)) == {}
    assert counts(replace(A, status=SessionStatus.INVALID)) == {}


def test_what_was_asked_for_again_stands_as_that_and_not_as_out_of_date() -> None:
    runs = (*finished()[:3], replace(finished()[3], superseded=True))
    assert plan_runs(snapshot((A,), *runs), REGISTRY).out_of_date == ()


def test_what_has_an_open_run_by_now_is_counted_by_that() -> None:
    found = [OutOfDate("qsiparc", A.scope, is_blocked=False)]
    assert still_out_of_date(found, [run(9, "qsiparc", A, "qsirecon:5", RunStatus.PENDING)]) == []


def test_what_was_kept_is_read_again_and_never_more_than_is_done() -> None:
    kept = json.loads(json.dumps({"pipelines": {"qsiparc": {"coming": 3, "blocked": 2}}}))
    assert counts_of(kept) == {"qsiparc": OutOfDateCount(3, 2)}
    assert OutOfDateCount(3, 2).within(4) == OutOfDateCount(2, 2)
    assert OutOfDateCount(3, 2).within(1) == OutOfDateCount(0, 1)
