"""Who answers, and how long that is waited for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from celery import Celery

from neuroflow.workers.celery_app import create_celery_app
from neuroflow.workers.presence import ping
from tests.chain.site import Site

LONG_SECONDS = 600.0


@pytest.fixture
def app(tmp_path: Path, redis_server: str) -> Iterator[Celery]:
    app = create_celery_app(Site(tmp_path / "site", {"redis": {"url": redis_server}}).config())
    yield app
    app.close()


@contextmanager
def listener(app: Celery, name: str) -> Iterator[None]:
    """Answer pings as a worker does, until the block ends."""
    ready, done = threading.Event(), threading.Event()

    def listen() -> None:
        with app.connection_for_write(transport_options={"polling_interval": 0.1}) as connection:
            node = app.control.mailbox(connection).Node(name, handlers={"ping": lambda _state: {"ok": "pong"}})
            node.listen(channel=connection.default_channel)
            while not done.is_set():
                try:
                    connection.drain_events(timeout=0.1)
                except TimeoutError:
                    ready.set()

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        assert ready.wait(30)
        yield
    finally:
        done.set()
        thread.join()


def test_a_ping_ends_with_the_last_answer(app: Celery) -> None:
    with ExitStack() as stack:
        for number in (1, 2):
            stack.enter_context(listener(app, f"celery@host{number}"))
            names = tuple(f"celery@host{count}" for count in range(1, number + 1))
            assert ping(app, seconds=LONG_SECONDS) == names


def test_a_killed_worker_holds_a_ping_up_no_longer_than_its_time(app: Celery) -> None:
    with listener(app, "celery@host1"), app.connection_for_write() as connection:
        # Bound, and never heard of again.
        app.control.mailbox(connection).Node("celery@host2").Consumer(connection.default_channel)
        assert ping(app, seconds=0.3) == ("celery@host1",)


def test_nobody_answers_where_nobody_listens(app: Celery) -> None:
    assert ping(app, seconds=0.1) == ()
