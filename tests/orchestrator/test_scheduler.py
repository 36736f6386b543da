"""What should run, chosen from snapshots that are built by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from neuroflow.domain import (
    IN_FLIGHT_RUN_STATUSES,
    Level,
    RunProposal,
    RunRecord,
    RunStatus,
    SessionRecord,
    SessionStatus,
)
from neuroflow.orchestrator.dispatch import HINT_LIFETIME, choose_dispatch
from neuroflow.orchestrator.plan import WITHDRAWABLE, Plan
from neuroflow.orchestrator.registry import BUILT_IN, Registry, get_registry
from neuroflow.orchestrator.scheduler import plan_runs
from tests.orchestrator.builders import (
    NOW,
    converted,
    only_proposal,
    proposed,
    run,
    session,
    snapshot,
    waits,
    withdrawn,
)

REGISTRY = get_registry()
NOTHING = Plan((), (), ())
A = session(1, label="a")
B = session(2, label="b")
OTHER = session(3, subject="02", label="a")
CONVERSION = "bids_conversion"


def finished_subject() -> tuple[RunRecord, ...]:
    """Return every run of subject 01 with the sessions a and b, all completed."""
    return (
        converted(1, A),
        converted(2, B),
        run(3, "qsiprep", A, f"{CONVERSION}:1,2"),
        run(4, "qsirecon", A, "qsiprep:3"),
        run(5, "qsirecon", B, "qsiprep:3"),
        run(6, "qsiparc", A, "qsirecon:4"),
        run(7, "qsiparc", B, "qsirecon:5"),
    )


class TestOpening:
    def test_an_empty_database_needs_nothing(self) -> None:
        assert plan_runs(snapshot(()), REGISTRY) == NOTHING

    def test_a_ready_session_gets_its_first_run(self) -> None:
        plan = plan_runs(snapshot((A,)), REGISTRY)

        assert only_proposal(plan) == RunProposal(
            CONVERSION, Level.SESSION, "sub-01/ses-a", 1, 1, "dicom:f1", "first run"
        )
        assert withdrawn(plan) == set()
        assert waits(plan)["qsiprep", "sub-01"] == f"waits for {CONVERSION} of sub-01/ses-a"

    def test_a_finished_subject_needs_nothing(self) -> None:
        assert plan_runs(snapshot((A, B), *finished_subject()), REGISTRY) == NOTHING

    @pytest.mark.parametrize("done", range(1, 7))
    def test_each_stage_opens_once_the_one_before_has_completed(self, done: int) -> None:
        history = finished_subject()
        expected = {
            1: {(CONVERSION, "sub-01/ses-b", "dicom:f2")},
            2: {("qsiprep", "sub-01", f"{CONVERSION}:1,2")},
            3: {("qsirecon", "sub-01/ses-a", "qsiprep:3"), ("qsirecon", "sub-01/ses-b", "qsiprep:3")},
            4: {("qsirecon", "sub-01/ses-b", "qsiprep:3"), ("qsiparc", "sub-01/ses-a", "qsirecon:4")},
            5: {("qsiparc", "sub-01/ses-a", "qsirecon:4"), ("qsiparc", "sub-01/ses-b", "qsirecon:5")},
            6: {("qsiparc", "sub-01/ses-b", "qsirecon:5")},
        }

        assert proposed(plan_runs(snapshot((A, B), *history[:done]), REGISTRY)) == expected[done]

    def test_a_settling_session_waits(self) -> None:
        plan = plan_runs(snapshot((session(1, status=SessionStatus.SETTLING),)), REGISTRY)

        assert proposed(plan) == set()
        assert waits(plan)[CONVERSION, "sub-01/ses-a"] == "the session is settling: as the test wants it"
        assert "files still arrive" in waits(plan)["qsiprep", "sub-01"]

    @pytest.mark.parametrize("status", [SessionStatus.INVALID, SessionStatus.EXCLUDED])
    def test_an_unusable_session_is_left_alone(self, status: SessionStatus) -> None:
        assert plan_runs(snapshot((session(1, status=status),)), REGISTRY) == NOTHING

    def test_an_unusable_session_does_not_hold_up_its_subject(self) -> None:
        invalid = replace(B, status=SessionStatus.INVALID)

        plan = plan_runs(snapshot((A, invalid), converted(1, A)), REGISTRY)

        assert proposed(plan) == {("qsiprep", "sub-01", f"{CONVERSION}:1")}

    def test_a_disabled_pipeline_opens_nothing(self) -> None:
        registry = Registry(replace(item, enabled=item.name != "qsiprep") for item in BUILT_IN)

        assert plan_runs(snapshot((A,), converted(1, A)), registry) == NOTHING


class TestSubjects:
    @pytest.mark.parametrize("status", sorted(IN_FLIGHT_RUN_STATUSES | WITHDRAWABLE))
    def test_a_subject_waits_for_the_conversions_of_all_its_sessions(self, status: RunStatus) -> None:
        open_conversion = run(2, CONVERSION, B, "dicom:f2", status)

        plan = plan_runs(snapshot((A, B), converted(1, A), open_conversion), REGISTRY)

        assert proposed(plan) == set()
        assert withdrawn(plan) == set()
        assert waits(plan)["qsiprep", "sub-01"] == f"waits for {CONVERSION} of sub-01/ses-b"

    def test_a_subject_waits_for_a_session_that_settles(self) -> None:
        settling = replace(B, status=SessionStatus.SETTLING)

        plan = plan_runs(snapshot((A, settling), converted(1, A)), REGISTRY)

        assert proposed(plan) == set()
        assert waits(plan)["qsiprep", "sub-01"] == "waits for sub-01/ses-b, whose files still arrive"

    def test_a_finished_subject_stays_current_while_a_new_session_settles(self) -> None:
        settling = session(9, label="c", status=SessionStatus.SETTLING)

        plan = plan_runs(snapshot((A, B, settling), *finished_subject()), REGISTRY)

        assert proposed(plan) == set()
        assert withdrawn(plan) == set()

    def test_a_failed_conversion_does_not_hold_up_the_other_sessions(self) -> None:
        failed = run(2, CONVERSION, B, "dicom:f2", RunStatus.FAILED)

        plan = plan_runs(snapshot((A, B), converted(1, A), failed), REGISTRY)

        assert proposed(plan) == {("qsiprep", "sub-01", f"{CONVERSION}:1")}

    def test_a_new_session_opens_its_own_subject_again_and_no_other(self) -> None:
        new = session(9, label="c")
        other: tuple[RunRecord, ...] = (converted(11, OTHER), run(12, "qsiprep", OTHER, f"{CONVERSION}:11"))
        other += (run(13, "qsirecon", OTHER, "qsiprep:12"), run(14, "qsiparc", OTHER, "qsirecon:13"))
        sessions = (A, B, new, OTHER)

        first = plan_runs(snapshot(sessions, *finished_subject(), *other), REGISTRY)
        then = plan_runs(snapshot(sessions, *finished_subject(), *other, converted(20, new)), REGISTRY)

        assert proposed(first) == {(CONVERSION, "sub-01/ses-c", "dicom:f9")}
        assert proposed(then) == {("qsiprep", "sub-01", f"{CONVERSION}:1,2,20")}
        assert only_proposal(then).reason == "its inputs changed"

    def test_a_new_qsiprep_run_opens_every_sessions_reconstruction_again(self) -> None:
        again = run(20, "qsiprep", A, f"{CONVERSION}:1,2")
        history = [item for item in finished_subject() if item.pipeline != "qsiprep"]

        plan = plan_runs(snapshot((A, B), *history, again), REGISTRY)

        assert proposed(plan) == {
            ("qsirecon", "sub-01/ses-a", "qsiprep:20"),
            ("qsirecon", "sub-01/ses-b", "qsiprep:20"),
        }

    def test_excluding_a_session_keeps_the_completed_run_over_more(self) -> None:
        excluded = replace(B, status=SessionStatus.EXCLUDED)

        assert plan_runs(snapshot((A, excluded), *finished_subject()), REGISTRY) == NOTHING

    def test_excluding_a_session_opens_a_failed_run_over_more_again(self) -> None:
        excluded = replace(B, status=SessionStatus.EXCLUDED)
        failed = run(3, "qsiprep", A, f"{CONVERSION}:1,2", RunStatus.FAILED)

        plan = plan_runs(snapshot((A, excluded), converted(1, A), converted(2, B), failed), REGISTRY)

        assert proposed(plan) == {("qsiprep", "sub-01", f"{CONVERSION}:1")}

    def test_a_session_that_was_not_part_of_the_subjects_run_is_not_reconstructed(self) -> None:
        failed = run(2, CONVERSION, B, "dicom:f2", RunStatus.FAILED)
        preprocessed = run(3, "qsiprep", A, f"{CONVERSION}:1")

        plan = plan_runs(snapshot((A, B), converted(1, A), failed, preprocessed), REGISTRY)

        assert proposed(plan) == {("qsirecon", "sub-01/ses-a", "qsiprep:3")}


class TestEnded:
    @pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.CANCELLED])
    def test_a_failed_run_stays_blocked_until_it_is_superseded(self, status: RunStatus) -> None:
        failed = run(1, CONVERSION, A, "dicom:f1", status)

        assert plan_runs(snapshot((A,), failed), REGISTRY) == NOTHING
        again = only_proposal(plan_runs(snapshot((A,), replace(failed, superseded=True)), REGISTRY))
        assert again.inputs_key == "dicom:f1"

    def test_a_withdrawn_run_does_not_hide_the_completed_one_before_it(self) -> None:
        excluded = replace(B, status=SessionStatus.EXCLUDED)
        withdrawn_run = run(90, "qsiprep", A, f"{CONVERSION}:1,2,7", RunStatus.CANCELLED)

        plan = plan_runs(
            snapshot((A, excluded), *finished_subject(), replace(withdrawn_run, superseded=True)), REGISTRY
        )

        assert plan == NOTHING

    def test_a_disabled_conversion_does_not_bring_an_excluded_session_back(self) -> None:
        disabled = Registry(replace(p, enabled=p.name != CONVERSION) for p in REGISTRY)
        excluded = replace(B, status=SessionStatus.EXCLUDED)

        plan = plan_runs(snapshot((A, excluded), converted(1, A), converted(2, B)), disabled)

        assert proposed(plan) == {("qsiprep", "sub-01", f"{CONVERSION}:1")}

    def test_changed_files_open_a_failed_run_again(self) -> None:
        failed = run(1, CONVERSION, A, "dicom:old", RunStatus.FAILED)

        again = only_proposal(plan_runs(snapshot((A,), failed), REGISTRY))

        assert (again.inputs_key, again.reason) == ("dicom:f1", "its inputs changed")

    def test_a_superseded_completed_run_is_opened_again_alone(self) -> None:
        history = list(finished_subject())
        history[2] = replace(history[2], superseded=True)

        plan = plan_runs(snapshot((A, B), *history), REGISTRY)

        assert only_proposal(plan).pipeline == "qsiprep"
        assert waits(plan)["qsirecon", "sub-01/ses-a"] == "waits for qsiprep of sub-01"

    def test_the_newest_run_decides_whatever_the_order(self) -> None:
        ended = run(1, CONVERSION, A, "dicom:f1", RunStatus.FAILED, superseded=True)
        running = run(2, CONVERSION, A, "dicom:f1", RunStatus.RUNNING)

        for runs in ((ended, running), (running, ended)):
            assert proposed(plan_runs(snapshot((A,), *runs), REGISTRY)) == set()


class TestWithdrawing:
    @pytest.mark.parametrize("status", sorted(WITHDRAWABLE))
    def test_a_changed_fingerprint_withdraws_a_run_that_has_not_started(self, status: RunStatus) -> None:
        plan = plan_runs(snapshot((A,), run(1, CONVERSION, A, "dicom:old", status)), REGISTRY)

        assert [(item.run_id, item.reason) for item in plan.withdrawals] == [
            (1, "its inputs changed before it started")
        ]
        assert proposed(plan) == set()  # opened in the next look, once this one has ended

    @pytest.mark.parametrize("status", sorted(IN_FLIGHT_RUN_STATUSES))
    def test_a_run_in_flight_is_never_withdrawn(self, status: RunStatus) -> None:
        plan = plan_runs(snapshot((A,), run(1, CONVERSION, A, "dicom:old", status)), REGISTRY)

        assert (proposed(plan), withdrawn(plan)) == (set(), set())

    @pytest.mark.parametrize("status", [item for item in SessionStatus if item is not SessionStatus.READY])
    def test_a_session_that_is_no_longer_ready_withdraws_its_pending_run(self, status: SessionStatus) -> None:
        pending = run(1, CONVERSION, A, "dicom:f1", RunStatus.PENDING)

        plan = plan_runs(snapshot((replace(A, status=status),), pending), REGISTRY)

        assert (proposed(plan), withdrawn(plan)) == (set(), {1})

    @pytest.mark.parametrize("status", sorted(IN_FLIGHT_RUN_STATUSES))
    def test_an_upstream_rerun_waits_for_readers_in_flight(self, status: RunStatus) -> None:
        changed = replace(A, fingerprint="new")
        reader = run(3, "qsiprep", A, f"{CONVERSION}:1", status)

        plan = plan_runs(snapshot((changed,), converted(1, A), reader), REGISTRY)

        assert (proposed(plan), withdrawn(plan)) == (set(), set())
        assert (
            waits(plan)[CONVERSION, "sub-01/ses-a"]
            == "waits until the previous results are no longer read by qsiprep of sub-01"
        )

    def test_an_upstream_rerun_withdraws_readers_that_have_not_started(self) -> None:
        changed = replace(A, fingerprint="new")
        reader = run(3, "qsiprep", A, f"{CONVERSION}:1", RunStatus.PENDING)

        plan = plan_runs(snapshot((changed,), converted(1, A), reader), REGISTRY)
        ended = replace(reader, status=RunStatus.CANCELLED, superseded=True)
        then = plan_runs(snapshot((changed,), converted(1, A), ended), REGISTRY)

        assert (proposed(plan), withdrawn(plan)) == (set(), {3})
        assert proposed(then) == {(CONVERSION, "sub-01/ses-a", "dicom:new")}

    def test_readers_of_another_session_or_subject_do_not_matter(self) -> None:
        changed = replace(A, fingerprint="new")
        sibling = run(5, "qsirecon", B, "qsiprep:3", RunStatus.RUNNING)
        stranger = run(12, "qsiprep", OTHER, f"{CONVERSION}:11", RunStatus.RUNNING)
        runs = (*finished_subject()[:4], sibling, converted(11, OTHER), stranger)

        plan = plan_runs(snapshot((changed, B, OTHER), *runs), REGISTRY)

        assert (CONVERSION, "sub-01/ses-a", "dicom:new") in proposed(plan)


def dispatch(*runs: RunRecord, **holds: str) -> tuple[tuple[int, ...], list[str]]:
    """Return the ids that would be dispatched, and why the others wait."""
    choice = choose_dispatch(snapshot((A,), *runs), REGISTRY, holds=holds)
    return choice.run_ids, [item.reason for item in choice.waits]


def reconstruction(run_id: int, status: RunStatus = RunStatus.PENDING) -> RunRecord:
    """Return a run of qsirecon, of which two may be in flight."""
    return run(run_id, "qsirecon", A, "qsiprep:1", status)


class TestDispatch:
    def test_the_oldest_go_first_up_to_the_limit(self) -> None:
        ids, reasons = dispatch(reconstruction(9), reconstruction(7), reconstruction(8))

        assert ids == (7, 8)
        assert reasons == ["workflow.max_concurrent.qsirecon is 2"]

    @pytest.mark.parametrize("status", sorted(IN_FLIGHT_RUN_STATUSES | {RunStatus.QUEUED}))
    def test_runs_in_flight_and_queued_take_a_place(self, status: RunStatus) -> None:
        ids, reasons = dispatch(reconstruction(1, status), reconstruction(2), reconstruction(3))

        assert ids == (2,)
        assert len(reasons) == 1

    def test_ended_runs_take_no_place(self) -> None:
        ended = (reconstruction(1, RunStatus.COMPLETED), reconstruction(2, RunStatus.FAILED))

        assert dispatch(*ended, reconstruction(3), reconstruction(4)) == ((3, 4), [])

    def test_each_pipeline_has_its_own_limit_and_upstream_goes_first(self) -> None:
        prep = run(5, "qsiprep", A, f"{CONVERSION}:1", RunStatus.PENDING)

        ids, _ = dispatch(reconstruction(1), reconstruction(2), reconstruction(3), prep)

        assert ids == (5, 1, 2)

    def test_those_with_the_highest_priority_go_first_and_of_these_the_oldest(self) -> None:
        first, last = replace(reconstruction(3), priority=10), replace(reconstruction(1), priority=-10)

        ids, _ = dispatch(last, reconstruction(2), first)

        assert ids == (3, 2)

    def test_a_limit_of_none_dispatches_nothing(self) -> None:
        registry = Registry(replace(item, max_concurrent=0) for item in BUILT_IN)

        choice = choose_dispatch(snapshot((A,), reconstruction(1)), registry, holds={})

        assert choice.run_ids == ()
        assert len(choice.waits) == 1

    def test_a_retry_that_is_not_due_waits_and_lets_others_pass(self) -> None:
        due = NOW + timedelta(minutes=5)
        waiting = replace(reconstruction(1, RunStatus.RETRY_WAIT), next_attempt_at=due, reason="application")

        ids, reasons = dispatch(waiting, reconstruction(2), reconstruction(3))

        assert ids == (2, 3)
        assert reasons == ["next attempt at 2026-03-01 12:05 UTC (application)"]

    @pytest.mark.parametrize("late", [timedelta(0), timedelta(hours=1), None])
    def test_a_retry_that_is_due_goes(self, late: timedelta | None) -> None:
        due = None if late is None else NOW - late
        waiting = replace(reconstruction(1, RunStatus.RETRY_WAIT), next_attempt_at=due)

        assert dispatch(waiting) == ((1,), [])

    def test_a_held_pipeline_waits_alone(self) -> None:
        prep = run(5, "qsiprep", A, f"{CONVERSION}:1", RunStatus.PENDING)
        running = reconstruction(2, RunStatus.RUNNING)

        ids, reasons = dispatch(reconstruction(1), running, prep, qsirecon="no licence")

        assert ids == (5,)
        assert reasons == ["qsirecon is held: no licence"]

    @pytest.mark.parametrize(("age", "again"), [(HINT_LIFETIME, True), (HINT_LIFETIME - timedelta(seconds=1), False)])
    def test_a_queued_run_is_sent_again_once_its_hint_is_stale(self, age: timedelta, again: bool) -> None:
        queued = replace(reconstruction(1, RunStatus.QUEUED), updated_at=NOW - age)

        ids, reasons = dispatch(queued)

        assert ids == ((1,) if again else ())
        assert reasons == []

    def test_a_stale_hint_takes_no_second_place(self) -> None:
        queued = replace(reconstruction(1, RunStatus.QUEUED), updated_at=NOW - HINT_LIFETIME)

        ids, reasons = dispatch(queued, reconstruction(2), reconstruction(3))

        assert ids == (1, 2)
        assert len(reasons) == 1


class TestPreprocessingPerSession:
    """`pipelines.qsiprep.level: session`: a new session leaves the others' results as they are."""

    REGISTRY = Registry(replace(item, level=Level.SESSION) if item.name == "qsiprep" else item for item in BUILT_IN)

    def one_session(self, of: SessionRecord, first_id: int) -> tuple[RunRecord, ...]:
        preprocessed = replace(
            run(first_id + 1, "qsiprep", of, f"{CONVERSION}:{first_id}"),
            level=Level.SESSION,
            scope=of.scope,
            session_id=of.id,
            session=of.label,
        )
        return (
            converted(first_id, of),
            preprocessed,
            run(first_id + 2, "qsirecon", of, f"qsiprep:{first_id + 1}"),
            run(first_id + 3, "qsiparc", of, f"qsirecon:{first_id + 2}"),
        )

    def test_finished_sessions_need_nothing(self) -> None:
        runs = (*self.one_session(A, 1), *self.one_session(B, 11))

        assert plan_runs(snapshot((A, B), *runs), self.REGISTRY) == NOTHING

    def test_a_new_session_opens_runs_of_its_own_alone(self) -> None:
        plan = plan_runs(snapshot((A, B), *self.one_session(A, 1), converted(11, B)), self.REGISTRY)

        assert proposed(plan) == {("qsiprep", B.scope, f"{CONVERSION}:11")}

    def test_a_session_converted_anew_is_preprocessed_anew(self) -> None:
        runs = (*self.one_session(A, 1), *self.one_session(B, 11), converted(21, B))

        assert proposed(plan_runs(snapshot((A, B), *runs), self.REGISTRY)) == {("qsiprep", B.scope, f"{CONVERSION}:21")}
