"""Hold a lease while working: one process at a time, and a short wait after one that was killed."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from neuroflow.core.state import StateManager
from neuroflow.errors import StateError

log = structlog.get_logger(__name__)

POLL_LEASE = "poll"
# What a killed holder keeps from the others; a living one renews it three times as often.
LEASE_SECONDS = 60.0


@contextmanager
def lease(state: StateManager, name: str, *, seconds: float = LEASE_SECONDS) -> Iterator[bool]:
    """Give True and keep the lease until the block ends, or False while somebody else holds it."""
    owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    if not state.acquire_lease(name, owner=owner, seconds=seconds):
        yield False
        return
    done = threading.Event()
    renewer = threading.Thread(
        target=_renew, args=(state, name, owner, seconds, done), name=f"lease-{name}", daemon=True
    )
    renewer.start()
    try:
        yield True
    finally:
        done.set()
        renewer.join()
        state.release_lease(name, owner)


def _renew(state: StateManager, name: str, owner: str, seconds: float, done: threading.Event) -> None:
    while not done.wait(seconds / 3):
        try:
            if not state.acquire_lease(name, owner=owner, seconds=seconds):
                # Two may work at once now. Each write is a compare-and-set, so it costs SLURM calls and nothing else.
                log.warning("lease.lost", lease=name)
                return
        except StateError as error:
            log.warning("lease.not_renewed", lease=name, error=str(error))
