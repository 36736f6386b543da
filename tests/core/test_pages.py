"""Rows are read in pages on either database, each once and in order."""

from __future__ import annotations

from datetime import timedelta

from neuroflow.core.pages import RowFilter
from neuroflow.core.state import StateManager
from neuroflow.domain import AttemptStatus, RunStatus, Series, SessionStatus
from tests.support.states import add_session, end_run, found, open_run


def test_pages_of_runs_attempts_and_subjects(state: StateManager) -> None:
    state.record_scan([found(subject, "a") for subject in ("3", "10", "2")], settle_minutes=0)
    runs = [open_run(state, session) for session in state.list_sessions()]
    for run in runs[:2]:
        end_run(state, run.id, success=run is runs[0])

    assert [[run.id for run in page] for page in state.run_pages(RowFilter(), size=2)] == [
        [run.id for run in runs[:2]],
        [run.id for run in runs[2:]],
    ]
    attempts = [one for page in state.attempt_pages(RowFilter(), size=1) for one in page]
    assert [one.run_id for one in attempts] == [run.id for run in runs[:2]]
    snapshots = list(state.snapshot_pages(size=2))
    assert [[session.subject for session in one.sessions] for one in snapshots] == [["10", "2"], ["3"]]
    assert [run.id for one in snapshots for run in one.runs if run.status is RunStatus.FAILED] == [runs[1].id]


def test_filters_of_pages(state: StateManager) -> None:
    for subject in ("1", "2"):
        end_run(state, open_run(state, add_session(state, subject)).id, success=subject == "1")

    def runs(wanted: RowFilter) -> list[str]:
        return [run.subject for page in state.run_pages(wanted) for run in page]

    def attempts(wanted: RowFilter) -> list[str]:
        return [one.scope for page in state.attempt_pages(wanted) for one in page]

    late = state.list_runs()[0].updated_at + timedelta(days=1)
    assert runs(RowFilter(subjects=("2",), sessions=("a",))) == ["2"]
    assert runs(RowFilter(statuses=(RunStatus.FAILED,))) == ["2"]
    assert runs(RowFilter(since=late)) == []
    assert attempts(RowFilter(subjects=("2",), pipelines=("bids_conversion",))) == ["sub-2/ses-a"]
    assert attempts(RowFilter(statuses=(AttemptStatus.SUCCEEDED,))) == ["sub-1/ses-a"]
    assert attempts(RowFilter(since=late)) == []
    assert state.known_session_labels(["a", "b"]) == {"a"}
    assert [one.subject for page in state.snapshot_pages(subjects=("2",)) for one in page.sessions] == ["2"]


def test_pages_of_sessions_have_each_once_by_label(state: StateManager) -> None:
    series = Series(uid="1.2", number=1, description="", protocol="", modality="MR", files=1, images=1, is_image=True)
    scanned = [
        found(subject, session, series=(series,) * int(subject))
        for subject in ("3", "10", "2")
        for session in ("b", "a")
    ]
    state.record_scan(scanned, settle_minutes=0)
    every = state.list_sessions()
    for size in (1, 2, 4, 100):
        listed = [one for page in state.session_pages(size=size) for one in page]
        assert [session.id for session, _ in listed] == [session.id for session in every]
        assert [series for _, series in listed] == [10, 10, 2, 2, 3, 3]
    assert all(session.series == () for session, _ in listed), "they are counted, and not read"
    assert [len(page) for page in state.session_pages(limit=3, size=2)] == [2, 1]
    assert [one.label for page in state.session_pages(subject="10") for one, _ in page] == ["a", "b"]
    assert state.count_listed(subject="10") == 2
    state.set_session_excluded(every[0].id, True, reason="moved")
    assert [one.id for page in state.session_pages(status=SessionStatus.EXCLUDED) for one, _ in page] == [every[0].id]
    assert state.count_listed(status=SessionStatus.EXCLUDED) == 1
    assert state.count_listed() == len(every)
