"""The tables of the database: what is in them, what filters leave, and that they are read in pages."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from neuroflow.core.pages import RowFilter
from neuroflow.domain import RunStatus
from neuroflow.export.row_tables import Table, attempts_table, nipoppy_table, runs_table, sessions_table
from neuroflow.orchestrator.scheduler import plan_runs
from tests.export.cohort import Cohort
from tests.support.states import submit

ALL = RowFilter()


def _rows(table: Table) -> list[dict[str, str]]:
    lines = list(table.lines)
    rows = list(csv.DictReader(lines, delimiter="\t"))
    assert list(table.entries) == next(csv.reader(lines[:1], delimiter="\t"))
    assert len(rows) == len(lines) - 1
    return rows


def _column(rows: Iterable[dict[str, str]], name: str) -> list[str]:
    return [row[name] for row in rows]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Two subjects, of whom one's second session has a qsirecon that failed; only to be read."""
    made = Cohort(tmp_path_factory.mktemp("study"))
    made.add("01/a", "01/b", "02/a")
    made.process(failing="qsirecon sub-01/ses-b")
    return made


@pytest.fixture
def study(finished: Cohort, tmp_path: Path) -> Iterator[Cohort]:
    """The same, in a copy that may be changed."""
    folder = shutil.copytree(finished.folder, tmp_path / "study")
    made = Cohort(folder)
    yield made
    made.services.database.close()


def test_runs_have_a_line_each_with_what_bids_calls_their_subject(finished: Cohort) -> None:
    rows = _rows(runs_table(finished.services, ALL))

    assert _column(rows, "run_id") == [str(number) for number in range(1, len(rows) + 1)]
    prep = [row for row in rows if row["pipeline"] == "qsiprep"]
    assert [(row["participant_id"], row["session_id"], row["level"]) for row in prep] == [
        ("sub-01", "n/a", "subject"),
        ("sub-02", "n/a", "subject"),
    ]
    [failed] = [row for row in rows if row["status"] == "failed"]
    assert (failed["session_id"], failed["failure_class"]) == ("ses-b", "application")


def test_attempts_say_what_was_asked_for(finished: Cohort) -> None:
    first = _rows(attempts_table(finished.services, ALL))[0]

    assert (first["participant_id"], first["session_id"]) == ("sub-01", "ses-a")
    assert (first["requested_cpus"], first["requested_memory"], first["requested_time"]) == ("2", "4000", "60")
    assert first["job_state"] == "COMPLETED"


def test_sessions_tell_how_every_pipeline_stands(finished: Cohort) -> None:
    rows = _rows(sessions_table(finished.services, ALL))

    assert [(row["participant_id"], row["session_id"]) for row in rows] == [
        ("sub-01", "ses-a"),
        ("sub-01", "ses-b"),
        ("sub-02", "ses-a"),
    ]
    assert _column(rows, "qsirecon_state") == ["current", "blocked", "current"]
    assert _column(rows, "qsiparc_state") == ["current", "absent", "current"]
    assert rows[1]["qsiparc_run_id"] == "n/a"
    assert "qsirecon" in rows[1]["qsiparc_reason"]


def test_results_that_will_be_replaced_are_not_current(study: Cohort) -> None:
    session = study.services.state.find_session("02", "a")
    assert session is not None
    study.services.state.mark_session_for_rerun(session.id, "new image", pipeline="qsirecon")

    [row] = _rows(sessions_table(study.services, RowFilter(subjects=("02",))))

    assert (row["qsiprep_state"], row["qsirecon_state"], row["qsiparc_state"]) == ("current", "coming", "coming")


def test_a_session_that_came_after_its_subjects_preprocessing_has_none(study: Cohort) -> None:
    study.add("02/b")

    rows = _rows(sessions_table(study.services, RowFilter(subjects=("02",))))

    assert _column(rows, "qsiprep_state") == ["coming", "coming"]
    study.services.state.set_session_excluded(study.services.state.list_sessions(subject="02")[1].id, True, reason="x")
    assert _column(_rows(sessions_table(study.services, RowFilter(subjects=("02",)))), "qsiprep_state")[0] == "current"


def test_a_session_that_is_no_part_of_its_subjects_run_has_nothing_of_it(cohort: Cohort) -> None:
    cohort.add("01/a", "01/b")
    cohort.process(failing="bids_conversion sub-01/ses-b")

    rows = _rows(sessions_table(cohort.services, RowFilter(pipelines=("qsiprep",))))

    assert _column(rows, "qsiprep_state") == ["current", "absent"]
    assert "was not part of qsiprep run" in rows[1]["qsiprep_reason"]
    assert rows[1]["qsiprep_run_id"] == "n/a"


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (RowFilter(subjects=("02",)), 4),
        (RowFilter(subjects=("01", "02"), pipelines=("qsiprep",)), 2),
        (RowFilter(sessions=("b",)), 2),
        (RowFilter(statuses=(RunStatus.FAILED,)), 1),
        (RowFilter(subjects=("03",)), 0),
    ],
)
def test_filters_leave_what_matches_all_of_them(finished: Cohort, wanted: RowFilter, count: int) -> None:
    assert len(_rows(runs_table(finished.services, wanted))) == count


def test_since_leaves_what_changed_then_or_later(finished: Cohort) -> None:
    now = finished.services.clock()
    for table in (runs_table, attempts_table, sessions_table):
        assert _rows(table(finished.services, RowFilter(since=now - timedelta(hours=1))))
        assert not _rows(table(finished.services, RowFilter(since=now + timedelta(hours=1))))


def test_pages_hold_every_row_once(finished: Cohort) -> None:
    state = finished.services.state
    whole = [run.id for page in state.run_pages(ALL) for run in page]

    assert [run.id for page in state.run_pages(ALL, size=2) for run in page] == whole
    assert len([attempt for page in state.attempt_pages(ALL, size=3) for attempt in page]) == len(whole)
    snapshots = list(state.snapshot_pages(size=1))
    assert [{session.subject for session in snapshot.sessions} for snapshot in snapshots] == [{"01"}, {"02"}]
    assert sorted(run.id for snapshot in snapshots for run in snapshot.runs) == whole


def test_the_pages_of_snapshots_hold_what_the_snapshot_holds(study: Cohort) -> None:
    state = study.services.state
    session = state.find_session("02", "a")
    assert session is not None
    state.mark_session_for_rerun(session.id, "new image", pipeline="qsirecon")
    [proposal] = plan_runs(state.snapshot(), study.services.registry).proposals
    opened = state.open_run(proposal)
    assert opened is not None
    state.move_run(
        opened.id, expected=[RunStatus.PENDING], to=RunStatus.CANCELLED, reason="its inputs changed", superseded=True
    )
    whole = state.snapshot()
    assert opened.id not in {run.id for run in whole.runs}

    pages = list(state.snapshot_pages(size=1))

    assert {run.id for page in pages for run in page.runs} == {run.id for run in whole.runs}
    assert [one for page in pages for one in page.sessions] == sorted(
        whole.sessions, key=lambda one: (one.subject, one.label)
    )


def test_a_reader_that_stands_still_keeps_nobody_from_writing(study: Cohort) -> None:
    pages = study.services.state.run_pages(ALL, size=2)
    next(pages)

    study.add("03/a")

    assert study.services.state.find_session("03", "a") is not None
    assert len(list(pages)) == 4


def test_nipoppys_words_are_told_from_how_the_results_stand(study: Cohort) -> None:
    study.add("03/a")
    rows = _rows(nipoppy_table(study.services, ALL))

    words = {(row["bids_participant_id"], row["session_id"], row["pipeline_name"]): row["status"] for row in rows}
    assert words["sub-01", "a", "qsiparc"] == "SUCCESS"
    assert words["sub-01", "b", "qsirecon"] == "FAIL"
    assert words["sub-01", "b", "qsiparc"] == "UNAVAILABLE"
    assert words["sub-03", "a", "qsiprep"] == "INCOMPLETE"
    assert {row["pipeline_name"] for row in rows} == {"qsiprep", "qsirecon", "qsiparc"}
    assert {row["pipeline_step"] for row in rows} == {"default"}


def test_a_label_that_nipoppy_can_not_read_is_named_once(cohort: Cohort) -> None:
    cohort.add("NA/1")
    table = nipoppy_table(cohort.services, ALL)

    assert len(_rows(table)) == 3
    assert len(table.warnings) == 1
    assert "sub-NA/ses-1" in table.warnings[0]


def test_the_version_is_that_of_the_run_or_else_the_configured_one(cohort: Cohort) -> None:
    cohort.add("01/a")
    [proposal] = plan_runs(cohort.services.state.snapshot(), cohort.services.registry).proposals
    run = cohort.services.state.open_run(proposal)
    assert run is not None
    submit(cohort.services.state, run.id)

    rows = _rows(nipoppy_table(cohort.services, RowFilter(pipelines=("bids_conversion", "qsiprep"))))

    assert _column(rows, "pipeline_version") == ["unknown", "unknown"]
    assert cohort.services.state.tool_versions([run.id]) == {}
