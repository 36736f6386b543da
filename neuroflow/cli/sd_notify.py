"""Tell systemd how the service is: the sd_notify protocol, which is a datagram to a socket that it names.

https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass


@dataclass(frozen=True)
class Notifier:
    """systemd's socket, if it gave one, and how often it wants to hear of us (s)."""

    address: str | None
    watchdog_seconds: float | None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Notifier:
        """Read what systemd has set."""
        microseconds = environ.get("WATCHDOG_USEC", "")
        mine = environ.get("WATCHDOG_PID") in (None, str(os.getpid()))
        watchdog = int(microseconds) / 1e6 if microseconds.isdigit() and mine else None
        return cls(environ.get("NOTIFY_SOCKET") or None, watchdog)

    def send(self, **values: str) -> None:
        """Send variables such as READY=1; nothing where systemd isn't there."""
        if self.address is None:
            return
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.sendto("\n".join(f"{name}={value}" for name, value in values.items()).encode(), address)
