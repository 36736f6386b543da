"""What is to be told, when, and in which words: pure choices over topics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from neuroflow.config.notifications import Notifications
from neuroflow.domain import Message, Told
from neuroflow.notify.text import plain

# So long a first failure waits for those that follow it at once.
GATHER = timedelta(seconds=60)
LONGEST_SILENCE = timedelta(days=1)
# A topic that was quiet for so long is new when it comes back.
FORGOTTEN_AFTER = timedelta(days=2)
LONGEST_SUBJECT = 150
LONGEST_BODY = 3_500  # characters; most chats take this in one piece
_MORE = "neuroflow status"


@dataclass(frozen=True)
class Topic:
    """Notices that are told together."""

    key: str
    notice_ids: tuple[int, ...]
    oldest: datetime
    headline: str
    lines: tuple[str, ...]
    comes_back: bool = False  # more of it is no news: told ever more rarely
    urgent: bool = True


def due_topics(
    topics: Sequence[Topic], told: Mapping[str, Told], policy: Notifications, *, now: datetime, gather: bool = True
) -> list[Topic]:
    """Return the topics that are to be told now."""
    return [topic for topic in topics if _is_due(topic, told.get(topic.key), policy, now, GATHER if gather else None)]


def _is_due(topic: Topic, told: Told | None, policy: Notifications, now: datetime, gather: timedelta | None) -> bool:
    if topic.comes_back and told is not None and now - told.at < FORGOTTEN_AFTER:
        return now - told.at >= silence(policy, told.times)
    return gather is None or now - topic.oldest >= gather


def silence(policy: Notifications, times: int) -> timedelta:
    """Return how long a topic that was told so often in a row is kept silent about."""
    # The exponent is bounded: a float overflows long after a day is reached.
    minutes = policy.digest_minutes * 2 ** min(max(times - 1, 0), 20)
    return max(min(timedelta(minutes=minutes), LONGEST_SILENCE), timedelta(minutes=policy.digest_minutes))


def times_now(topics: Sequence[Topic], told: Mapping[str, Told], *, now: datetime) -> dict[str, int]:
    """Return how often in a row people have been told of each topic that comes back, with this time."""
    found = {}
    for topic in topics:
        before = told.get(topic.key)
        if topic.comes_back:
            in_a_row = before is not None and now - before.at < FORGOTTEN_AFTER
            found[topic.key] = before.times + 1 if before is not None and in_a_row else 1
    return found


def compose(topics: Sequence[Topic], *, site: str) -> Message:
    """Write one message about some topics, the urgent ones first."""
    ordered = sorted(topics, key=lambda topic: (not topic.urgent, topic.oldest))
    headlines = [plain(topic.headline) for topic in ordered]
    summary = headlines[0] if len(headlines) == 1 else f"{len(headlines)} things: {'; '.join(headlines)}"
    subject = plain(f"[neuroflow {site}] {summary}", longest=LONGEST_SUBJECT)
    return Message(subject, _body(ordered), urgent=any(topic.urgent for topic in ordered))


def _body(topics: Sequence[Topic]) -> str:
    parts: list[str] = []
    length = 0
    for number, topic in enumerate(topics):
        part = "\n".join((plain(topic.headline), *(f"  {plain(line)}" for line in topic.lines)))
        length += len(part) + 2
        if parts and length > LONGEST_BODY:
            parts.append(f"… and {len(topics) - number} more: {_MORE}")
            break
        parts.append(part)
    return "\n\n".join(parts)
