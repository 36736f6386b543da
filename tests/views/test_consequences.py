"""What follows from a change by hand, as the scheduler itself would have it."""

from __future__ import annotations

from dataclasses import replace

from neuroflow.domain import Change, RunRecord, RunStatus, SessionRecord, SessionStatus, Snapshot, Spent
from neuroflow.orchestrator.registry import get_registry
from neuroflow.views.consequences import Consequences, Following, Kept, foresee
from neuroflow.views.work import estimate
from tests.orchestrator.builders import NOW, converted, run, session

A, B = session(1, "01", "a"), session(2, "01", "b")
OTHER = session(3, "02", "a")


def done(*sessions: SessionRecord, first: int = 1) -> list[RunRecord]:
    """Return the runs of a subject that is through with everything."""
    runs = [converted(first + number, of) for number, of in enumerate(sessions)]
    prep_id = first + len(runs)
    key = "bids_conversion:" + ",".join(str(one.id) for one in runs)
    runs.append(run(prep_id, "qsiprep", sessions[0], key))
    for of in sessions:
        recon = run(runs[-1].id + 1, "qsirecon", of, f"qsiprep:{prep_id}")
        runs += [recon, run(recon.id + 1, "qsiparc", of, f"qsirecon:{recon.id}")]
    return runs


# By id: 1 and 2 convert, 3 is qsiprep, 4 and 5 are a's qsirecon and qsiparc, 6 and 7 b's.
RUNS = done(A, B)


def after(change: Change, runs: list[RunRecord], *sessions: SessionRecord) -> Consequences:
    return foresee(Snapshot(NOW, sessions or (A, B), tuple(runs)), get_registry(), change)


def followers(seen: Consequences) -> list[tuple[str, str]]:
    return [(item.pipeline, item.scope) for item in seen.following]


def replaced(runs: list[RunRecord], run_id: int, status: RunStatus) -> list[RunRecord]:
    return [replace(one, status=status) if one.id == run_id else one for one in runs]


def test_nothing_follows_from_no_change() -> None:
    assert after(Change(), RUNS) == Consequences((), (), (), (), ())


def test_a_conversion_again_opens_its_subject_and_every_session_of_it_again_and_no_other_subject() -> None:
    seen = after(Change(superseded=frozenset({1})), [*RUNS, *done(OTHER, first=10)], A, B, OTHER)
    assert seen.following == (
        Following("bids_conversion", "sub-01/ses-a", 1),
        Following("qsiprep", "sub-01", 3),
        Following("qsirecon", "sub-01/ses-a", 4),
        Following("qsirecon", "sub-01/ses-b", 6),
        Following("qsiparc", "sub-01/ses-a", 5),
        Following("qsiparc", "sub-01/ses-b", 7),
    )


def test_what_would_come_anyway_does_not_follow_from_the_change() -> None:
    seen = after(Change(superseded=frozenset({6})), [*RUNS[:3], *RUNS[5:]])  # a's qsirecon is due already
    assert followers(seen) == [("qsirecon", "sub-01/ses-b"), ("qsiparc", "sub-01/ses-b")]
    assert seen.anyway == (("qsirecon", "sub-01/ses-a"), ("qsiparc", "sub-01/ses-a"))


def test_a_failed_run_again_replaces_nothing() -> None:
    seen = after(Change(superseded=frozenset({3})), replaced(RUNS[:3], 3, RunStatus.FAILED))
    assert followers(seen)[0] == ("qsiprep", "sub-01")
    assert len(seen.following) == 5
    assert {item.replaces for item in seen.following} == {None}


def test_a_job_under_way_goes_on_and_what_has_not_started_is_withdrawn() -> None:
    runs = replaced(replaced(RUNS[:-1], 4, RunStatus.RUNNING), 6, RunStatus.PENDING)
    seen = after(Change(superseded=frozenset({3})), [one for one in runs if one.pipeline != "qsiparc"])
    assert [(item.run.id, item.fate) for item in seen.under_way] == [(4, "goes on"), (6, "withdrawn")]
    assert ("qsirecon", "sub-01/ses-a") in followers(seen)


def test_a_run_that_is_cancelled_first_is_opened_again() -> None:
    runs = replaced(RUNS[:3], 3, RunStatus.RUNNING)
    seen = after(Change(superseded=frozenset({3}), cancelled=frozenset({3})), runs)
    assert [(item.run.id, item.fate) for item in seen.under_way] == [(3, "cancelled")]
    assert followers(seen) == [("qsiprep", "sub-01")]  # what comes after it would have come anyway


def test_a_cancelled_run_takes_what_waits_for_it_along() -> None:
    seen = after(Change(cancelled=frozenset({3})), replaced(RUNS[:3], 3, RunStatus.PENDING))
    assert [(item.run.id, item.fate) for item in seen.under_way] == [(3, "cancelled")]
    assert [pipeline for pipeline, _ in seen.dropped] == ["qsirecon"] * 2 + ["qsiparc"] * 2
    assert seen.following == ()


def test_an_excluded_session_leaves_the_results_of_its_subject() -> None:
    seen = after(Change(excluded=frozenset({2})), RUNS)
    assert seen.following == ()
    assert seen.kept == (Kept("qsiprep", "sub-01", 3, others=True),)
    (kept,) = after(Change(excluded=frozenset({1, 2})), RUNS).kept
    assert not kept.others, "there is nothing over which it could be made anew"


def test_an_excluded_session_opens_its_failed_subject_again_without_it() -> None:
    seen = after(Change(excluded=frozenset({2})), replaced(RUNS[:3], 3, RunStatus.FAILED))
    assert followers(seen) == [("qsiprep", "sub-01"), ("qsirecon", "sub-01/ses-a"), ("qsiparc", "sub-01/ses-a")]


def test_an_included_session_joins_its_subject_again() -> None:
    out = session(2, "01", "b", status=SessionStatus.EXCLUDED)
    runs = done(A)
    seen = after(Change(included=frozenset({2})), runs, A, out)
    assert ("bids_conversion", "sub-01/ses-b") in followers(seen)
    assert Following("qsiprep", "sub-01", 2) in seen.following


def test_work_is_learnt_from_history_or_else_bounded_by_the_time_limit() -> None:
    seen = after(Change(superseded=frozenset({3})), RUNS)
    prep, recon, _ = estimate(seen.following, get_registry(), {"qsirecon": Spent(20, hours=1.5, cpus=8)})
    assert (prep.pipeline, prep.runs, prep.measured, prep.core_hours) == ("qsiprep", 1, 0, 8 * 24)
    assert (recon.runs, recon.replacing, recon.measured, recon.core_hours) == (2, 2, 20, 2 * 8 * 1.5)
