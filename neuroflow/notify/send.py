"""Send one message to one target through Apprise, within a time limit, with its log scrubbed of secrets."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING

from neuroflow.domain import Message
from neuroflow.errors import NotificationError
from neuroflow.masking import MASK
from neuroflow.notify.targets import Target
from neuroflow.notify.text import plain

if TYPE_CHECKING:
    from apprise import AppriseAsset, NotifyBase

# A server that answers a byte at a time must not hold a worker.
LIMIT_SECONDS = 30.0
_LONGEST_REASON = 500
# requests tells the reason in the innermost of three brackets.
_POOL = re.compile(r"HTTPS?ConnectionPool\(.*?\(Caused by \w+\((.*)\)\)")
# What they write may hold the URL: they are heard here and nowhere else.
_LOGGERS = ("apprise", "urllib3", "requests")


def send(target: Target, message: Message, *, limit_seconds: float = LIMIT_SECONDS) -> None:
    """Send a message.

    Raises:
        NotificationError: when the target can't be used, refuses, or does not answer in time.
    """
    done, said = _aside(lambda: _notify(target, message), limit_seconds)
    if done is None:
        raise NotificationError(f"{target.name}: no answer within {limit_seconds:g} seconds")
    if not done:
        raise NotificationError(f"{target.name}: {scrubbed('; '.join(said), target) or 'refused without a reason'}")


def check(target: Target) -> None:
    """Build what would send, without sending anything.

    Raises:
        NotificationError: when Apprise can't use the target's address.
    """
    usable, said = _aside(lambda: _build(target) is not None, LIMIT_SECONDS)
    if not usable:
        reason = scrubbed("; ".join(said), target)
        raise NotificationError(
            f"{target.name}: Apprise can't use this address{': ' + reason if reason else ''}",
            hint="see https://appriseit.com for its URLs, and workflow.notifications of the configuration",
        )


def scrubbed(text: str, target: Target) -> str:
    """Return a text as a short line without the target's secrets."""
    for secret in target.secrets:
        text = text.replace(secret, MASK)
    text = _POOL.sub(r"\1", text)
    return plain(text, longest=_LONGEST_REASON).replace("∗" * len(MASK), MASK)


def _notify(target: Target, message: Message) -> bool:
    import apprise  # here, because it takes a quarter of a second and most processes send nothing

    plugin = _build(target)
    if plugin is None:
        return False
    sender = apprise.Apprise(asset=_asset())
    sender.add(plugin)
    kind = apprise.NotifyType.WARNING if message.urgent else apprise.NotifyType.INFO
    return bool(
        sender.notify(title=message.subject, body=message.body, notify_type=kind, body_format=apprise.NotifyFormat.TEXT)
    )


def _build(target: Target) -> NotifyBase | None:
    import apprise

    address = target.address if isinstance(target.address, str) else dict(target.address)
    plugin: NotifyBase | None = apprise.Apprise.instantiate(address, asset=_asset(), suppress_exceptions=True)
    return plugin


def _asset() -> AppriseAsset:
    import apprise

    # Nothing on disk, no threads of its own, no plug-ins from the user's home.
    return apprise.AppriseAsset(
        app_id="neuroflow", storage_mode=apprise.PersistentStoreMode.MEMORY, async_mode=False, plugin_paths=[]
    )


def _aside(work: Callable[[], bool], limit_seconds: float) -> tuple[bool | None, list[str]]:
    """Do something in a thread; return its answer, None when it takes too long, and what Apprise logged meanwhile."""
    said: list[str] = []
    answers: list[bool] = []

    def run() -> None:
        _heard.set(said)
        try:
            answers.append(work())
        except Exception as error:  # a plug-in may raise anything, and a traceback would show its URL
            said.append(type(error).__name__)
            answers.append(False)

    _listen()
    # Neither Apprise nor what it uses has a limit for all of a delivery.
    sender = threading.Thread(target=run, daemon=True, name="notify")
    sender.start()
    sender.join(limit_seconds)
    return (answers[0] if answers else None), said


class _Listener(logging.Handler):
    """Keeps what Apprise says of a failure, for the sender in whose context it says it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning, and the reason that follows it at a lower level."""
        said, text = _heard.get(), record.getMessage()
        if said is not None and (record.levelno >= logging.WARNING or "xception" in text):
            said.append(text)


def _listen() -> None:
    """Let what Apprise and its libraries log reach the listener, and our logs never: also not from a late thread."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.propagate = False
        if _LISTENER not in logger.handlers:
            logger.addHandler(_LISTENER)
    logging.getLogger(_LOGGERS[0]).setLevel(logging.DEBUG)


# A context, and not the thread: Apprise does its work in a thread of its own, in a copy of the context.
_heard: ContextVar[list[str] | None] = ContextVar("heard", default=None)
_LISTENER = _Listener()
