"""Images are told apart by digest, then by id, then by the file; another one under the same name is a change."""

from __future__ import annotations

import pytest

from neuroflow.core.state import StateManager
from neuroflow.domain import ImageFacts
from tests.core.conftest import FakeClock
from tests.support.states import RESOURCES, add_session, open_run

NAME = "/images/qsiprep-26.0.0.sif"


def facts(stamp: str, identity: str = "id-1", *, digest: str = "", name: str = NAME) -> ImageFacts:
    return ImageFacts(name, stamp, identity, 5_000_000_000, digest)


def test_the_first_image_of_a_name_is_the_expected_one(state: StateManager) -> None:
    record, changed_now = state.record_image(facts("s1"))
    assert (record.name, record.identity, record.size, record.changed) == (NAME, "id-1", 5_000_000_000, False)
    assert not changed_now
    assert state.record_image(facts("s1")) == (record, False)


def test_another_id_under_the_same_name_is_a_change_told_once(state: StateManager, clock: FakeClock) -> None:
    state.record_image(facts("s1"))
    clock.advance(hours=5)
    changed, changed_now = state.record_image(facts("s2", "id-2"))
    assert (changed.changed, changed_now, changed.first_seen_at) == (True, True, clock.now)
    assert state.record_image(facts("s2", "id-2"))[1] is False
    (audit,) = [row for row in state.list_audit(entity="image") if row.event == "image.changed"]
    assert (audit.before, audit.after) == ("id-1", "id-2")
    expected = state.expected_image(NAME)
    assert expected is not None
    assert expected.identity == "id-1"


@pytest.mark.parametrize(("second", "changed"), [(facts("s2"), False), (facts("s2", name="/images/new.sif"), False)])
def test_a_copied_file_and_a_new_name_are_no_change(state: StateManager, second: ImageFacts, changed: bool) -> None:
    state.record_image(facts("s1"))
    assert state.record_image(second)[0].changed is changed


def test_a_file_without_an_id_is_told_apart_by_its_stamp_until_its_digest_is_known(state: StateManager) -> None:
    first, _ = state.record_image(facts("s1", ""))
    state.set_image_digest(first.id, "sha256:a")
    second, _ = state.record_image(facts("s2", ""))
    assert second.changed
    found, changed_now = state.set_image_digest(second.id, "sha256:a")
    assert (found.changed, changed_now) == (False, False)


def test_a_digest_shows_what_the_id_hid(state: StateManager) -> None:
    first, _ = state.record_image(facts("s1"))
    state.set_image_digest(first.id, "sha256:a")
    second, _ = state.record_image(facts("s2"))
    assert not second.changed
    found, changed_now = state.set_image_digest(second.id, "sha256:b")
    assert (found.changed, changed_now) == (True, True)


def test_accepting_makes_it_the_expected_one(state: StateManager, clock: FakeClock) -> None:
    state.record_image(facts("s1"))
    clock.advance(hours=1)
    second, _ = state.record_image(facts("s2", "id-2"))
    assert state.accept_image(second.id, actor="admin")
    assert not state.accept_image(second.id)
    expected = state.expected_image(NAME)
    assert expected is not None
    assert expected.identity == "id-2"
    clock.advance(hours=1)
    assert state.record_image(facts("s3"))[0].changed  # the former one, put back, is a change too


def test_an_attempt_names_its_image_and_learns_the_digest_later(state: StateManager) -> None:
    record, _ = state.record_image(facts("s1"))
    run = open_run(state, add_session(state))
    attempt = state.claim_run(
        run.id,
        token="t1",
        where="slurm",
        folder="/f",
        resources=RESOURCES,
        image=NAME,
        limit=1,
        image_record_id=record.id,
        image_version="26.0.0",
    )
    assert attempt is not None
    assert (attempt.image_record_id, attempt.image_version, attempt.node_image) == (record.id, "26.0.0", "")
    assert state.attempts_by_image() == {record.id: 1}
    state.set_image_digest(record.id, "sha256:a")
    state.set_tool_version(record.id, "26.0.0")
    found = state.get_images([record.id])[record.id]
    assert (found.digest, found.tool_version) == ("sha256:a", "26.0.0")
