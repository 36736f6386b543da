"""What is told at once, what waits, and what a message says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from neuroflow.config.notifications import Notifications
from neuroflow.domain import Told
from neuroflow.notify.topics import LONGEST_BODY, LONGEST_SUBJECT, Topic, compose, due_topics, silence, times_now

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
POLICY = Notifications(digest_minutes=60)
TOPIC = Topic("failed:qsiprep:abc", (1,), NOW - timedelta(minutes=5), "qsiprep: 1 run failed", ("why: boom",), True)


def due(topic: Topic, told: Told | None = None, *, gather: bool = True) -> bool:
    return bool(due_topics([topic], {topic.key: told} if told else {}, POLICY, now=NOW, gather=gather))


def test_a_first_failure_waits_a_minute_for_those_that_follow() -> None:
    fresh = replace(TOPIC, oldest=NOW - timedelta(seconds=30))
    assert not due(fresh)
    assert due(fresh, gather=False)
    assert due(TOPIC)


@pytest.mark.parametrize(
    ("times", "minutes", "is_due"), [(1, 59, False), (1, 61, True), (2, 61, False), (2, 121, True), (9, 23 * 60, False)]
)
def test_more_of_the_same_is_told_ever_more_rarely(times: int, minutes: int, is_due: bool) -> None:
    assert due(TOPIC, Told(times, NOW - timedelta(minutes=minutes))) is is_due


def test_silence_lasts_a_day_at_most() -> None:
    assert [silence(POLICY, n) for n in (1, 2, 3)] == [timedelta(hours=n) for n in (1, 2, 4)]
    assert silence(POLICY, 5_000) == timedelta(days=1)


def test_what_was_quiet_for_days_is_new_again() -> None:
    told = Told(9, NOW - timedelta(days=3))
    assert due(TOPIC, told)
    assert times_now([TOPIC], {TOPIC.key: told}, now=NOW) == {TOPIC.key: 1}
    assert times_now([TOPIC], {TOPIC.key: Told(2, NOW)}, now=NOW) == {TOPIC.key: 3}


def test_a_message_has_the_urgent_first_and_names_the_site() -> None:
    calm = replace(TOPIC, headline="workflow run 3 is complete", urgent=False, oldest=NOW - timedelta(days=1))
    message = compose([calm, TOPIC], site="lab")
    assert message.subject == "[neuroflow lab] 2 things: qsiprep: 1 run failed; workflow run 3 is complete"
    assert message.body == "qsiprep: 1 run failed\n  why: boom\n\nworkflow run 3 is complete\n  why: boom"
    assert message.urgent


def test_a_message_of_many_topics_is_cut_with_their_number() -> None:
    many = [replace(TOPIC, headline="x" * 250, lines=("y" * 400,) * 3) for _ in range(100)]
    message = compose(many, site="lab")
    assert len(message.subject) <= LONGEST_SUBJECT
    assert len(message.body) <= LONGEST_BODY + 60
    assert message.body.endswith("and 97 more: neuroflow status")
