"""The targets of a configuration: a public name for each, and what Apprise makes of it."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from neuroflow.config.notifications import Mail, Notifications

_PORTS = {"none": 25, "starttls": 587, "tls": 465}
_MODES = {"none": "insecure", "starttls": "starttls", "tls": "ssl"}
# Shorter ones are parts of ordinary words; a password is hidden whatever its length.
_SHORTEST_SECRET = 4


@dataclass(frozen=True)
class Target:
    """Where messages go; its name holds no secret."""

    name: str
    address: str | Mapping[str, object] = field(repr=False)  # as Apprise takes it
    secrets: tuple[str, ...] = field(default=(), repr=False)  # to be hidden in whatever is said of it


def targets_of(policy: Notifications) -> tuple[Target, ...]:
    """Return the configured targets; each mail address is one, so that a retry bothers no other."""
    found = []
    if policy.slack_webhook is not None:
        found.append(_by_url("slack", policy.slack_webhook.get_secret_value()))
    found += [_by_mail(recipient, policy.mail) for recipient in policy.email_recipients]
    for number, secret in enumerate(policy.urls):
        url = secret.get_secret_value()
        # Only the scheme: in many of these URLs the host is a token.
        found.append(_by_url(f"urls[{number}] ({url.partition('://')[0].lower()})", url))
    return tuple(found)


def _by_url(name: str, url: str) -> Target:
    return Target(name, url, _secrets(url))


def _secrets(url: str) -> tuple[str, ...]:
    """Return the pieces of a URL that may be secret, the longest first."""
    rest = url.partition("://")[2]
    pieces = {url, rest, *re.split(r"[/?&=#]", rest)}
    try:
        parts = urlsplit(url)
        pieces |= {parts.password or "", parts.username or "", parts.netloc.rpartition("@")[0]}
    except ValueError:  # an unreadable port; the pieces above are all there is
        pass
    pieces |= {unquote(piece) for piece in pieces}
    host = rest.partition("@")[2] or rest
    public = (
        {host.partition("/")[0], host.partition("/")[0].partition(":")[0]} if "." in host.partition("/")[0] else {""}
    )
    return tuple(sorted((one for one in pieces - public if len(one) >= _SHORTEST_SECRET), key=len, reverse=True))


def _by_mail(recipient: str, mail: Mail) -> Target:
    sender = mail.sender or f"neuroflow@{_host_name()}"
    password = mail.password.get_secret_value() if mail.password is not None else None
    address: dict[str, object] = {
        "schema": "mailto" if mail.tls == "none" else "mailtos",
        "host": sender.rpartition("@")[2],
        # Named outright, or Apprise goes by its own table of well-known domains.
        "smtp_host": mail.host,
        "port": mail.port or _PORTS[mail.tls],
        "secure_mode": _MODES[mail.tls],
        "from_addr": f"neuroflow <{sender}>",
        "targets": [recipient],
        "format": "text",
    }
    if mail.user is not None:
        address |= {"user": mail.user, "password": password}
    return Target(f"mail to {recipient}", address, (password,) if password else ())


def _host_name() -> str:
    name = socket.getfqdn()
    return name if "." in name else f"{name}.localdomain"
