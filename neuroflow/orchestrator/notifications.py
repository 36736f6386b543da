"""One round of telling people: gather what happened, write a message, and deliver what is due."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import structlog

from neuroflow.domain import DeliveryRecord, Message
from neuroflow.errors import NotificationError
from neuroflow.notify.send import send
from neuroflow.notify.targets import Target, targets_of
from neuroflow.notify.topics import compose, due_topics, times_now
from neuroflow.orchestrator.notices import gather_topics
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.watch import remind_of_dead_letters, watch_poller

log = structlog.get_logger(__name__)

# A dead sender's claim; longer than any delivery may take.
CLAIM = timedelta(minutes=5)
FIRST_RETRY = timedelta(minutes=1)
LONGEST_RETRY = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(days=1)
KEPT = timedelta(days=30)
# Of one round; its task's own limit lies above.
ROUND_SECONDS = 60.0
_MOST_DELIVERIES = 1_000  # enough that the backlog of a dead target hides no other target

Send = Callable[[Target, Message], None]


@dataclass(frozen=True)
class NotifyReport:
    """What one round did."""

    queued: bool
    sent: int
    failed: tuple[str, ...]


def notify_round(services: Services, *, gather: bool = True, deliver_with: Send = send) -> NotifyReport:
    """Tell people what is due.

    Args:
        gather: wait a little for more of the same; False where no further round may come.
    """
    policy = services.config.workflow.notifications
    if not policy.wanted:
        services.state.drop_notices([notice.id for notice in services.state.pending_notices()])
        return NotifyReport(False, 0, ())
    watch_poller(services)
    remind_of_dead_letters(services)
    targets = {target.name: target for target in targets_of(policy)}
    queued = _queue(services, targets, gather=gather)
    services.state.prune_messages(services.clock() - KEPT)
    sent, failed = _deliver(services, targets, deliver_with)
    return NotifyReport(queued, sent, tuple(failed))


def _queue(services: Services, targets: Mapping[str, Target], *, gather: bool) -> bool:
    """Write one message about all that is due; tell whether there is one."""
    notices = services.state.pending_notices()
    if not notices:
        return False
    now, policy = services.clock(), services.config.workflow.notifications
    topics, unwanted = gather_topics(services, notices)
    if unwanted:
        services.state.drop_notices(unwanted)
    told = services.state.told()
    due = due_topics(topics, told, policy, now=now, gather=gather)
    if not due or services.state.messages_since(now - timedelta(hours=1)) >= policy.max_per_hour:
        return False
    message = compose(due, site=services.config.cluster.name)
    notice_ids = [notice_id for topic in due for notice_id in topic.notice_ids]
    times = times_now(due, told, now=now)
    queued = services.state.queue_message(message, notice_ids=notice_ids, times=times, targets=list(targets))
    return queued is not None


def _deliver(services: Services, targets: Mapping[str, Target], deliver_with: Send) -> tuple[int, list[str]]:
    sent, failed, down = 0, [], set[str]()
    end = time.monotonic() + ROUND_SECONDS
    for delivery in services.state.due_deliveries(limit=_MOST_DELIVERIES):
        # What did not work just now would not for the next message either.
        if delivery.target in down or time.monotonic() > end:
            continue
        if not services.state.claim_delivery(delivery, until=services.clock() + CLAIM):
            continue
        error = _try(delivery, targets.get(delivery.target), deliver_with)
        if error is None:
            services.state.delivery_made(delivery)
            sent += 1
            continue
        down.add(delivery.target)
        failed.append(error)
        _missed(services, delivery, error, is_gone=delivery.target not in targets)
    return sent, failed


def _try(delivery: DeliveryRecord, target: Target | None, deliver_with: Send) -> str | None:
    """Return why a delivery failed, None when it was made."""
    if target is None:
        return f"{delivery.target}: no longer in the configuration"
    try:
        deliver_with(target, delivery.message)
    except NotificationError as error:
        return str(error)
    return None


def _missed(services: Services, delivery: DeliveryRecord, error: str, *, is_gone: bool) -> None:
    now = services.clock()
    wait = min(FIRST_RETRY * 2 ** min(delivery.tries, 10), LONGEST_RETRY)
    given_up = is_gone or now + wait > delivery.created_at + GIVE_UP_AFTER
    services.state.delivery_missed(delivery, error=error, next_try_at=None if given_up else now + wait)
    event = "notification.given_up" if given_up else "notification.missed"
    log.warning(event, target=delivery.target, message_id=delivery.message_id, tries=delivery.tries + 1, error=error)
