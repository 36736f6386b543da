"""Notice what nobody reports: a poller that has gone silent, and failures that wait and wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from neuroflow.domain import NoticeKind
from neuroflow.orchestrator.keys import POLL_KEY
from neuroflow.orchestrator.services import Services

WATCH_KEY = "watch"
# The watcher itself was away when its rounds lie further apart: then the poller's silence proves nothing yet.
_AWAY = timedelta(minutes=10)
_REMIND_EVERY = timedelta(days=1)


def watch_poller(services: Services) -> None:
    """Note whether the jobs are looked at, once per change and once per day of silence."""
    minutes = services.config.workflow.notifications.on_poller_silent
    last = services.state.get_value(POLL_KEY)
    if minutes is None or last is None:
        return
    # Its own interval grows up to fivefold.
    limit = max(timedelta(minutes=minutes), timedelta(seconds=services.config.cluster.poll_seconds * 10))
    now = services.clock()
    silent_for = now - max(last[1], _watching_since(services, now))
    if silent_for < limit:
        was = services.state.condition("poller")
        back = was is not None and was[0].startswith("silent")
        kind, text = NoticeKind.POLLER_BACK, "the jobs are looked at again"
        services.state.note_condition("poller", "well", kind=kind if back else None, text=text)
        return
    text = f"nothing has looked at the jobs since {last[1]:%Y-%m-%d %H:%M} UTC: what ends is not seen, and nothing new "
    services.state.note_condition(
        "poller", f"silent, day {silent_for.days + 1}", kind=NoticeKind.POLLER_SILENT, text=text + "starts"
    )


def _watching_since(services: Services, now: datetime) -> datetime:
    value = services.state.get_value(WATCH_KEY)
    since = now
    if value is not None and now - value[1] < _AWAY:
        since = datetime.fromtimestamp(float(value[0].get("since", now.timestamp())), UTC)
    services.state.set_value(WATCH_KEY, {"since": since.timestamp()})
    return since


def remind_of_dead_letters(services: Services) -> None:
    """Note once a day how many failed runs have waited for a person for a day, if it is others than last time."""
    if not services.config.workflow.notifications.on_dead_letter:
        return
    now = services.clock()
    last = services.state.condition("dead_letters")
    if last is not None and now - last[1] < _REMIND_EVERY:
        return
    letters = [run for run in services.state.dead_letters() if now - (run.ended_at or now) >= _REMIND_EVERY]
    if not letters:
        return
    kinds = len({run.signature or run.id for run in letters})
    text = f"{len(letters)} failed {'run waits' if len(letters) == 1 else 'runs wait'} for a person"
    services.state.note_condition(
        "dead_letters",
        f"{len(letters)}:{letters[0].id}",
        kind=NoticeKind.DEAD_LETTERS,
        text=f"{text}, {kinds} kinds of failure" if kinds > 1 else text,
    )
