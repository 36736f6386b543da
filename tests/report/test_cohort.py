"""How sessions stand with pipelines, and what is counted from that."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from neuroflow.domain import FailureClass, RunStatus, SessionStatus
from neuroflow.orchestrator.standing import Kind
from neuroflow.report.cohort import Cohort, cohort_of
from neuroflow.report.failures import failure_groups
from neuroflow.report.flow import flow_of
from neuroflow.report.judgement import Verdict
from neuroflow.report.states import WORDS, CellState
from neuroflow.report.usage import distribution, usage_of
from tests.report import made_up
from tests.report.made_up import NOW, PIPELINES


def states(cohort: Cohort) -> list[str]:
    return ["".join(states) for states in zip(*(column.states for column in cohort.columns), strict=True)]


@pytest.fixture
def made() -> made_up.Cohort:
    return made_up.Cohort()


def matrix(made: made_up.Cohort) -> Cohort:
    return cohort_of(made.history(), PIPELINES)


class TestMatrix:
    def test_sessions_stand_in_natural_order(self, made: made_up.Cohort) -> None:
        for subject, session in (("10", "a"), ("9", "b"), ("9", "A10"), ("9", "A9"), ("P2", "a")):
            made.add_session(subject, session)
        assert [f"{one.subject}/{one.label}" for one in matrix(made).sessions] == [
            *("9/A9", "9/A10", "9/b", "10/a", "P2/a")
        ]

    def test_a_run_of_the_subject_stands_with_each_of_its_sessions_and_counts_once(self, made: made_up.Cohort) -> None:
        session = made.add_session("01", "a")
        made.add_session("01", "b")
        made.add_run(session, "qsiprep")
        column = matrix(made).columns[1]
        assert [run and run.id for run in column.runs] == [1, 1]
        assert column.counts() == {CellState.COMPLETED: 1}

    def test_the_total_is_that_of_status_without_what_can_not_be_run(self, made: made_up.Cohort) -> None:
        made.add_run(made.add_session("01", "a"), "bids_conversion")
        for label, status in (("b", SessionStatus.READY), ("c", SessionStatus.SETTLING), ("d", SessionStatus.INVALID)):
            made.add_session("01", label, status)
        made.add_run(made.add_session("02", "a", SessionStatus.EXCLUDED), "bids_conversion")
        made.add_session("03", "a", SessionStatus.EXCLUDED)
        cohort = matrix(made)
        assert [cohort.total(column) for column in cohort.columns] == [4, 1, 3, 3]

    def test_what_failed_blocks_what_depends_on_it(self, made: made_up.Cohort) -> None:
        session = made.add_session("01")
        made.add_run(session, "bids_conversion")
        made.add_run(session, "qsiprep", RunStatus.FAILED)
        assert states(matrix(made)) == ["CFBB"]
        assert matrix(made).waiting() == {2}

    def test_what_is_under_way_blocks_nothing(self, made: made_up.Cohort) -> None:
        made.add_run(made.add_session("01"), "bids_conversion", RunStatus.RUNNING)
        assert states(matrix(made)) == ["RNNN"]

    @pytest.mark.parametrize(
        ("status", "letters"),
        [
            (SessionStatus.SETTLING, "LLLL"),
            (SessionStatus.INVALID, "IIII"),
            (SessionStatus.EXCLUDED, "EEEE"),
            (SessionStatus.READY, "NNNN"),
        ],
    )
    def test_a_session_without_runs_says_why(self, made: made_up.Cohort, status: SessionStatus, letters: str) -> None:
        made.add_session("01", status=status)
        assert states(matrix(made)) == [letters]

    def test_the_newest_run_counts_unless_it_was_withdrawn(self, made: made_up.Cohort) -> None:
        session = made.add_session("01")
        made.add_run(session, "bids_conversion", RunStatus.FAILED)
        made.add_run(session, "bids_conversion")
        withdrawn = made.add_run(session, "bids_conversion", RunStatus.CANCELLED)
        made.runs[-1] = replace(withdrawn, superseded=True)
        assert states(matrix(made)) == ["CNNN"]

    def test_a_failed_run_may_be_closed_or_due(self, made: made_up.Cohort) -> None:
        for change in ({"resolution": "a phantom"}, {"superseded": True}):
            run = made.add_run(made.add_session(str(len(made.runs))), "bids_conversion", RunStatus.FAILED)
            made.runs[-1] = replace(run, **change)
        assert states(matrix(made)) == ["SBBB", "DNNN"]
        assert matrix(made).waiting() == frozenset()

    def test_a_pipeline_that_is_off_stands_only_where_it_has_runs(self, made: made_up.Cohort) -> None:
        session = made.add_session("01")
        off = [replace(one, enabled=one.name == "bids_conversion") for one in PIPELINES]
        assert [column.pipeline.name for column in cohort_of(made.history(), off).columns] == ["bids_conversion"]
        made.add_run(session, "qsiprep")
        assert len(cohort_of(made.history(), off).columns) == 2

    def test_a_subject_and_a_session_with_the_same_number_are_two(self, made: made_up.Cohort) -> None:
        made.add_session("01", "a")
        second = made.add_session("02", "a")
        assert second.id == second.subject_id
        made.add_run(second, "qsiprep")
        assert states(matrix(made)) == ["NNNN", "NCNN"]

    @pytest.mark.parametrize(
        ("status", "superseded", "kind", "letter"),
        [
            (RunStatus.COMPLETED, False, Kind.CURRENT, "C"),
            (RunStatus.COMPLETED, False, Kind.COMING, "O"),
            (RunStatus.COMPLETED, True, Kind.COMING, "D"),
            (RunStatus.COMPLETED, False, Kind.ABSENT, "B"),
            (RunStatus.FAILED, False, Kind.BLOCKED, "F"),
            (RunStatus.FAILED, False, Kind.COMING, "D"),
            (RunStatus.FAILED, False, Kind.ABSENT, "B"),
            (RunStatus.RUNNING, False, Kind.COMING, "R"),
        ],
    )
    def test_a_run_is_what_the_scheduler_makes_of_it(
        self, made: made_up.Cohort, status: RunStatus, superseded: bool, kind: Kind, letter: str
    ) -> None:
        session = made.add_session("01")
        run = made.add_run(session, "bids_conversion", status)
        made.runs[-1] = replace(run, superseded=superseded)
        judgement = {session.id: {"bids_conversion": Verdict(kind, "for a reason", run.id)}}
        column = cohort_of(made.history(), PIPELINES, judgement=judgement).columns[0]
        assert column.states == (letter,)
        assert column.reasons == ("for a reason" if letter in "OB" else "",)

    def test_a_session_that_came_after_its_subjects_run_is_no_part_of_it(self, made: made_up.Cohort) -> None:
        sessions = [made.add_session("01", "a", SessionStatus.EXCLUDED), made.add_session("01", "b")]
        sessions.append(made.add_session("01", "c"))
        run = made.add_run(sessions[1], "qsiprep")
        kinds = (Kind.ABSENT, Kind.CURRENT, Kind.ABSENT)
        judgement = {
            session.id: {"qsiprep": Verdict(kind, "no part of it", run.id if kind is Kind.CURRENT else None)}
            for session, kind in zip(sessions, kinds, strict=True)
        }
        cohort = cohort_of(made.history(), PIPELINES, judgement=judgement)
        column = cohort.columns[1]
        assert column.states == ("E", "C", "B")
        assert [found is not None for found in column.runs] == [False, True, False]
        assert (column.counts()[CellState.COMPLETED], cohort.total(column)) == (1, 1)

    def test_every_state_has_words(self) -> None:
        assert [one.state for one in WORDS] == list(CellState)
        assert len({one.word for one in WORDS}) == len(WORDS)


def test_the_flow_counts_days_without_any_too(made: made_up.Cohort) -> None:
    session = made.add_session("01")
    for status, days in ((RunStatus.COMPLETED, 3), (RunStatus.FAILED, 1), (RunStatus.RUNNING, 0)):
        run = made.add_run(session, "qsiparc", status)
        made.runs[-1] = replace(run, ended_at=NOW - timedelta(days=days) if days else None, updated_at=NOW)
    flow = flow_of(made.runs, pipelines=["qsiparc"], since=None)
    assert (flow.first, flow.completed, flow.failed) == (
        date(2026, 3, 28),
        {"qsiparc": (1, 0, 0)},
        {"qsiparc": (0, 0, 1)},
    )
    assert flow_of(made.runs, pipelines=["qsiparc"], since=NOW - timedelta(days=2)).completed == {"qsiparc": (0,)}
    assert flow_of([], pipelines=["qsiparc"], since=None).first is None


class TestUsage:
    def test_only_successes_count(self, made: made_up.Cohort) -> None:
        session = made.add_session("01")
        made.add_run(session, "qsiprep")
        made.add_run(session, "qsiprep", RunStatus.FAILED)
        usage = usage_of(made.attempts, pipeline_of={1: "qsiprep", 2: "qsiprep"}, pipelines=PIPELINES, since=None)
        minutes = usage[1].minutes
        assert minutes is not None
        assert (minutes.count, minutes.quantiles[2], minutes.request) == (1, 31.0, 24 * 60)
        assert minutes.values == (31.0,)  # too few for quantiles
        assert (usage[0].minutes, usage[0].memory_mb) == (None, None)

    def test_quantiles_and_bins(self) -> None:
        found = distribution([float(value) for value in range(101)], request=50.0)
        assert found is not None
        assert found.quantiles == (5.0, 25.0, 50.0, 75.0, 95.0, 100.0)
        assert sum(found.bins) == 101
        assert found.values == ()
        assert found.top > 100

    def test_a_request_beyond_all_values_and_values_of_zero_fit(self) -> None:
        assert distribution([1.0], request=10.0).top > 10  # type: ignore[union-attr]
        assert sum(distribution([0.0, 0.0], request=0.0).bins) == 2  # type: ignore[union-attr]
        assert distribution([], request=1.0) is None


class TestFailures:
    def test_those_that_failed_alike_are_one_group_with_the_last_as_example(self, made: made_up.Cohort) -> None:
        for number in range(3):
            made.add_run(made.add_session(f"{number}"), "qsiprep", RunStatus.FAILED, error=f"error {number}")
        (group,) = failure_groups(made.history(), waiting=frozenset({1, 3}), since=None)
        assert (group.attempts, len(group.runs), sorted(group.waiting)) == (3, 3, [1, 3])
        assert (group.example, group.example_run) == ("error 2", 3)

    def test_a_run_that_was_refused_before_any_attempt_is_there(self, made: made_up.Cohort) -> None:
        run = made.add_run(made.add_session("01"), "qsiprep", RunStatus.FAILED, error="no such account")
        made.attempts.clear()
        (group,) = failure_groups(made.history(), waiting=frozenset({run.id}), since=None)
        assert (group.attempts, group.example) == (0, "no such account")

    def test_a_run_that_is_tried_again_neither_waits_nor_is_over(self, made: made_up.Cohort) -> None:
        run = made.add_run(made.add_session("01"), "qsiprep", RunStatus.FAILED)
        made.runs[-1] = replace(run, status=RunStatus.RETRY_WAIT)
        (group,) = failure_groups(made.history(), waiting=frozenset(), since=None)
        assert (group.waiting, group.under_way) == ([], {run.id})

    def test_what_waits_for_a_person_stands_first_and_stays_whatever_its_age(self, made: made_up.Cohort) -> None:
        for subject, signature, failure in (("1", "aa", "node"), ("2", "aa", "node"), ("3", "bb", "timeout")):
            run = made.add_run(made.add_session(subject), "qsirecon", RunStatus.FAILED)
            made.runs[-1] = replace(run, signature=signature, failure=FailureClass(failure))
            made.attempts[-1] = replace(made.attempts[-1], signature=signature, failure=FailureClass(failure))
        found = failure_groups(made.history(), waiting=frozenset({3}), since=None)
        assert [one.signature for one in found] == ["bb", "aa"]
        assert [one.signature for one in failure_groups(made.history(), waiting=frozenset({3}), since=NOW)] == ["bb"]
