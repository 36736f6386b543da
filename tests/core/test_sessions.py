"""What scans change, and what people decide about sessions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from neuroflow.core.state import StateManager
from neuroflow.domain import ScanOutcome, Series, SessionRecord, SessionStatus
from neuroflow.errors import NotFoundError
from tests.core.conftest import FakeClock
from tests.support.states import add_session, found

SERIES = (
    Series(
        "1.2.3", 4, "DTI 2mm", "dti", "MR", files=544, images=544, is_image=True, study_uid="1.2", study_date="20260301"
    ),
    Series("1.2.4", None, "Präsentation", "", "PR", files=1, images=0, is_image=False),
)


def only(state: StateManager) -> SessionRecord:
    (record,) = state.list_sessions()
    return record


def test_a_new_session_settles_then_is_ready(state: StateManager, clock: FakeClock) -> None:
    outcome = state.record_scan([found()], settle_minutes=30)
    assert outcome == ScanOutcome(found=1, new=1, changed=0, settling=1, ready=0, invalid=0)
    assert only(state).status is SessionStatus.SETTLING
    clock.advance(minutes=29)
    assert state.record_scan([found()], settle_minutes=30).settling == 1
    clock.advance(minutes=1)
    outcome = state.record_scan([found()], settle_minutes=30)
    assert outcome == ScanOutcome(found=1, new=0, changed=0, settling=0, ready=1, invalid=0)
    assert only(state).status is SessionStatus.READY


def test_changed_files_start_the_wait_anew(state: StateManager, clock: FakeClock) -> None:
    state.record_scan([found()], settle_minutes=30)
    clock.advance(minutes=20)
    outcome = state.record_scan([found(fingerprint="f2")], settle_minutes=30)
    assert (outcome.changed, outcome.new) == (1, 0)
    assert only(state).fingerprint_since == clock.now
    clock.advance(minutes=20)
    assert state.record_scan([found(fingerprint="f2")], settle_minutes=30).settling == 1


def test_a_ready_session_whose_files_change_settles_again(state: StateManager) -> None:
    add_session(state)
    assert state.record_scan([found(fingerprint="f2")], settle_minutes=30).settling == 1


def test_a_ready_session_does_not_settle_again_because_the_setting_grew(state: StateManager) -> None:
    add_session(state)
    assert state.record_scan([found()], settle_minutes=30).ready == 1


def test_a_settled_session_that_lacks_a_scan_is_invalid_and_says_why(state: StateManager) -> None:
    outcome = state.record_scan([found(missing=("dwi: no series matches 'dti'", "t1w: none"))], settle_minutes=0)
    assert outcome.invalid == 1
    assert only(state).status_reason == "dwi: no series matches 'dti'; t1w: none"
    assert state.record_scan([found()], settle_minutes=0).ready == 1  # the protocol was corrected


def test_an_excluded_session_stays_excluded_until_it_is_taken_back(state: StateManager) -> None:
    record = add_session(state)
    state.set_session_excluded(record.id, True, reason="motion", actor="ada")
    state.record_scan([found(fingerprint="f2")], settle_minutes=0)
    assert (only(state).status, only(state).status_reason) == (SessionStatus.EXCLUDED, "motion")
    state.set_session_excluded(record.id, False, reason="looked again", actor="ada")
    assert only(state).status is SessionStatus.SETTLING
    state.record_scan([found(fingerprint="f2")], settle_minutes=0)
    assert only(state).status is SessionStatus.READY
    rows = [(row.event, row.actor) for row in state.list_audit(entity="session", entity_id=record.id)]
    assert ("session.excluded", "ada") in rows
    assert ("session.included", "ada") in rows


def test_of_two_folders_of_one_session_the_known_one_is_kept_and_the_other_named(state: StateManager) -> None:
    state.record_scan([found(path="/dicom/first")], settle_minutes=0)
    both = [found(path="/dicom/other", fingerprint="x"), found(path="/dicom/first")]
    outcome = state.record_scan(both, settle_minutes=0)
    assert (outcome.found, outcome.changed) == (1, 0)
    assert only(state).path == "/dicom/first"
    (problem,) = only(state).problems
    assert "/dicom/other" in problem
    # The scanner hands known problems back; the message neither doubles nor outlives the other folder.
    known = state.known_sessions()["/dicom/first"]
    handed_back = found(path="/dicom/first", problems=known.problems)
    state.record_scan([both[0], handed_back], settle_minutes=0)
    assert only(state).problems == (problem,)
    state.record_scan([handed_back], settle_minutes=0)
    assert only(state).problems == ()


def test_a_moved_folder_is_followed(state: StateManager) -> None:
    add_session(state)
    state.record_scan([found(path="/dicom/new place")], settle_minutes=0)
    assert only(state).path == "/dicom/new place"


def test_a_folder_that_is_now_read_as_another_session_is_not_processed_twice(state: StateManager) -> None:
    add_session(state, "01", "a")
    state.record_scan([found("001", "a", path="/dicom/01/a")], settle_minutes=0)
    old = state.find_session("01", "a")
    assert old is not None
    assert old.status is SessionStatus.INVALID
    assert "now read as sub-001/ses-a" in old.status_reason
    assert state.known_sessions()["/dicom/01/a"].subject == "001"
    # And back again, after the naming was corrected.
    state.record_scan([found("01", "a", path="/dicom/01/a")], settle_minutes=0)
    assert state.known_sessions()["/dicom/01/a"].subject == "01"
    assert [record.status for record in state.list_sessions(subject="01")] == [SessionStatus.READY]


def test_a_folder_that_vanished_while_settling_does_not_hold_its_subject_for_ever(
    state: StateManager, clock: FakeClock
) -> None:
    state.record_scan([found("01", "tmp"), found("01", "a")], settle_minutes=30)
    clock.advance(hours=2)
    state.record_scan([found("01", "a")], settle_minutes=30)
    assert [record.status for record in state.list_sessions()] == [SessionStatus.READY, SessionStatus.SETTLING]
    clock.advance(hours=23)
    state.record_scan([], settle_minutes=30)  # an empty scan is a lost file system, and says nothing
    assert len(state.list_sessions(status=SessionStatus.SETTLING)) == 1
    state.record_scan([found("01", "a")], settle_minutes=30)
    (gone,) = state.list_sessions(status=SessionStatus.INVALID)
    assert "is gone" in gone.status_reason


def test_series_and_problems_come_back_as_they_were(state: StateManager) -> None:
    session = found(series=SERIES, problems=("IM_1: truncated",))
    state.record_scan([session], settle_minutes=0)
    assert only(state).series == SERIES
    known = state.known_sessions()[session.path]
    assert (known.series, known.problems) == (SERIES, ("IM_1: truncated",))
    assert (known.files, known.bytes, known.newest_mtime) == (12, 5_000_000_000, 1_772_000_000.25)


def test_text_that_a_database_would_refuse_is_kept_readable(state: StateManager) -> None:
    series = (replace(SERIES[0], description="a\x00b"),)
    state.record_scan([found(series=series, problems=("x\x00y", "caf\udce9"))], settle_minutes=0)
    assert only(state).series == series
    assert only(state).problems == ("x\x00y", "caf\udce9")


def test_a_path_that_is_not_utf8_needs_a_person(state: StateManager) -> None:
    session = found(path="/dicom/caf\udce9")
    state.record_scan([session], settle_minutes=0)
    assert only(state).status is SessionStatus.INVALID
    assert "not UTF-8" in only(state).status_reason
    assert state.record_scan([session], settle_minutes=0).changed == 0


def test_an_unchanged_scan_writes_nothing(state: StateManager, clock: FakeClock) -> None:
    state.record_scan([found(problems=("one\x00",)), found("02")], settle_minutes=0)
    before = (state.list_sessions(), state.list_audit())
    clock.advance(hours=1)
    state.record_scan([found(problems=("one\x00",)), found("02")], settle_minutes=0)
    assert (state.list_sessions(), state.list_audit()) == before


def test_sessions_are_listed_and_found_by_their_labels(state: StateManager) -> None:
    state.record_scan([found("02", "b"), found("02", "a"), found("01", "a")], settle_minutes=0)
    assert [record.scope for record in state.list_sessions()] == ["sub-01/ses-a", "sub-02/ses-a", "sub-02/ses-b"]
    assert [record.label for record in state.list_sessions(subject="02")] == ["a", "b"]
    assert [record.label for record in state.list_subjects()] == ["01", "02"]
    assert state.get_subject("02").label == "02"
    record = state.find_session("02", "b")
    assert record is not None
    assert state.get_session(record.id) == record
    assert state.find_session("02", "c") is None
    with pytest.raises(NotFoundError, match="no subject '03'"):
        state.get_subject("03")
    with pytest.raises(NotFoundError, match="no session with the id 99"):
        state.get_session(99)


def test_times_are_aware_and_in_utc(state: StateManager, clock: FakeClock) -> None:
    record = add_session(state)
    assert record.created_at == clock.now
    assert record.created_at.tzname() == "UTC"


def test_sessions_are_counted_by_subject_and_listed_up_to_a_limit(state: StateManager) -> None:
    for subject, session in (("02", "a"), ("01", "b"), ("01", "a")):
        add_session(state, subject, session)
    state.set_session_excluded(1, True, reason="moved")
    assert state.count_sessions() == {
        "01": {SessionStatus.READY: 2},
        "02": {SessionStatus.EXCLUDED: 1},
    }
    assert [session.scope for session in state.list_sessions(limit=2)] == ["sub-01/ses-a", "sub-01/ses-b"]
