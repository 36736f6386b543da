"""What people are told: notices of what happened, the messages that they are gathered into, and their delivery."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class NoticeKind(StrEnum):
    """What happened."""

    RUN_FAILED = "run_failed"  # for good
    PIPELINE_HELD = "pipeline_held"  # by neuroflow, not by a person
    WORKFLOW_COMPLETED = "workflow_completed"
    WORKFLOW_FAILED = "workflow_failed"
    DEAD_LETTERS = "dead_letters"  # failed runs have waited for a person for a day
    POLLER_SILENT = "poller_silent"
    POLLER_BACK = "poller_back"


class DeliveryStatus(StrEnum):
    """Where a message to one target stands."""

    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"  # given up


@dataclass(frozen=True)
class Notice:
    """One thing that happened and that nobody has been told yet."""

    id: int
    at: datetime
    kind: NoticeKind
    entity_id: int | None  # of the run or workflow run
    pipeline: str
    text: str


@dataclass(frozen=True)
class Told:
    """How often people were told of a topic in a row, and when last."""

    times: int
    at: datetime


@dataclass(frozen=True)
class Message:
    """What people read."""

    subject: str
    body: str
    urgent: bool = True


@dataclass(frozen=True)
class DeliveryRecord:
    """A message on its way to one target."""

    id: int
    message_id: int
    target: str
    status: DeliveryStatus
    tries: int
    next_try_at: datetime
    error: str
    created_at: datetime
    sent_at: datetime | None
    message: Message
