"""Flower shows workers and tasks, and lets nobody else in."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from neuroflow.cli.flower import flower_plan
from neuroflow.errors import UsageError
from neuroflow.workers.celery_app import create_celery_app
from neuroflow.workers.presence import answering_workers, broker_state
from tests.chain.site import Site, celery

START_SECONDS = 60.0
SCAN = "neuroflow.workers.tasks.scan_directories"


class SocketConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("flower", timeout=30)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(str(self.path))


def get(connection: http.client.HTTPConnection, path: str, login: str = "") -> tuple[int, Any]:
    """Ask once; return the status, and the answer where it is JSON."""
    headers = {"Authorization": "Basic " + base64.b64encode(login.encode()).decode()} if login else {}
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        is_json = answer.headers.get_content_type() == "application/json" and answer.status == 200
        return answer.status, json.loads(body) if is_json else None
    finally:
        connection.close()


@contextmanager
def flower(site: Site, *arguments: str) -> Iterator[None]:
    """Run `neuroflow run flower …` until the block ends."""
    command = [sys.executable, "-m", "neuroflow.cli.main", "run", "flower", *arguments]
    environment = {**os.environ, "NEUROFLOW_CONFIG": str(site.folder.config)}
    with (site.root / "flower.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=site.root, env=environment, stdout=log, stderr=log)
    try:
        yield
        assert process.poll() is None, (site.root / "flower.log").read_text()[-3000:]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def ask_until(make: Any, path: str, *, login: str = "", wanted: Any) -> Any:
    """Ask until the answer is wanted."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            status, answer = get(make(), path, login)
            if status == 200 and wanted(answer):
                return answer
        except OSError:
            status = 0
        assert time.monotonic() < deadline, f"{path} gave {status}"
        time.sleep(0.3)


@pytest.mark.slow
def test_flower_shows_workers_and_tasks_to_its_owner(tmp_path: Path, redis_server: str) -> None:
    site = Site(tmp_path / "site", {"redis": {"url": redis_server}})
    site.services().database.close()
    config = site.config()
    folder = config.paths.state_dir / "flower"
    port = free_port()
    with celery(site, "worker", "-c", "1"), flower(site), flower(site, "--port", str(port)):

        def by_socket() -> SocketConnection:
            return SocketConnection(folder / "flower.sock")

        def by_port() -> http.client.HTTPConnection:
            return http.client.HTTPConnection("127.0.0.1", port, timeout=30)

        # Each of its questions to a worker is answered by itself: all that is looked at has to be there.
        workers = ask_until(
            by_socket,
            "/api/workers?refresh=1",
            wanted=lambda answer: (
                bool(answer) and all({"registered", "active_queues"} <= set(one) for one in answer.values())
            ),
        )
        (worker,) = workers.values()
        assert "neuroflow.workers.tasks.run_pipeline" in worker["registered"]
        assert {queue["name"] for queue in worker["active_queues"]} >= {"bids", "heavy_processing"}

        login = f"neuroflow:{(folder / 'password').read_text().strip()}"
        ask_until(by_port, "/api/workers", login=login, wanted=lambda answer: answer is not None)
        assert get(by_port(), "/api/workers")[0] == 401
        assert get(by_port(), "/workers")[0] == 401
        assert get(by_port(), "/api/workers", "neuroflow:wrong")[0] == 401

        app = create_celery_app(config)

        def shows_a_task(answer: dict[str, Any]) -> bool:
            # Another one each time: Flower sees what happens from when it has asked the worker for events.
            app.send_task(SCAN, ignore_result=True)
            return any((task["name"], task["state"]) == (SCAN, "SUCCESS") for task in answer.values())

        ask_until(by_socket, "/api/tasks", wanted=shows_a_task)

        # The broker's own page knows a socket's URL, and so do the metrics.
        queues = ask_until(by_socket, "/api/queues/length", wanted=bool)["active_queues"]
        assert {queue["name"]: queue["messages"] for queue in queues}["bids"] == 0
        assert answering_workers(config) is not None
        deadline = time.monotonic() + START_SECONDS
        while (state := broker_state(app)) is None or state.workers == 0:  # one that is busy may answer too late
            assert time.monotonic() < deadline, state
        app.close()
        assert (state.workers, state.queues["bids"]) == (1, 0)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_messages_that_wait_are_counted_whatever_their_priority(tmp_path: Path, redis_server: str) -> None:
    app = create_celery_app(Site(tmp_path / "site", {"redis": {"url": redis_server}}).config())
    for name in ("scan_directories", "scan_directories", "poll_jobs"):
        app.send_task(f"neuroflow.workers.tasks.{name}")
    for priority in (0, 9):
        app.send_task("neuroflow.workers.tasks.run_pipeline", args=[1, "qsiprep"], queue="bids", priority=priority)
    state = broker_state(app, ask_workers=False)
    app.control.purge()
    app.close()
    assert state is not None
    assert dict(state.queues) == {
        **dict.fromkeys(("processing", "heavy_processing", "default"), 0),
        **{"discovery": 2, "workflow": 1, "bids": 2},
    }
    assert state.workers is None


def test_a_redis_that_is_away_is_no_state(tmp_path: Path) -> None:
    config = Site(tmp_path / "site", {"redis": {"url": f"redis+socket://{tmp_path}/none.sock?virtual_host=0"}}).config()
    app = create_celery_app(config)
    assert broker_state(app) is None
    assert answering_workers(config) is None
    app.close()


def test_flower_listens_on_a_private_socket_unless_a_port_is_named(tmp_path: Path) -> None:
    config = Site(tmp_path / "site").config()
    plan = flower_plan(config, port=None, address="127.0.0.1", is_open=False)
    folder = config.paths.state_dir / "flower"
    assert f"--unix_socket={folder / 'flower.sock'}" in plan.arguments
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_port_asks_for_a_password_that_is_on_no_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Site(tmp_path / "site").config()
    plan = flower_plan(config, port=5555, address="127.0.0.1", is_open=False)
    path = config.paths.state_dir / "flower" / "password"
    password = path.read_text().strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert plan.environment == {"FLOWER_BASIC_AUTH": f"neuroflow:{password}"}
    assert password not in " ".join(plan.arguments) + plan.how + repr(plan)
    assert flower_plan(config, port=5555, address="127.0.0.1", is_open=False) == plan

    monkeypatch.setenv("FLOWER_BASIC_AUTH", "ada:secret")
    given = flower_plan(config, port=5555, address="127.0.0.1", is_open=False)
    assert given.environment == {"FLOWER_BASIC_AUTH": "ada:secret"}


@pytest.mark.parametrize("address", ["::", "192.0.2.1", "login.example.org"])
def test_an_address_that_others_reach_has_to_be_asked_for(address: str, tmp_path: Path) -> None:
    config = Site(tmp_path / "site").config()
    with pytest.raises(UsageError, match="can be reached from other machines"):
        flower_plan(config, port=5555, address=address, is_open=False)
    assert "FLOWER_BASIC_AUTH" in flower_plan(config, port=5555, address=address, is_open=True).environment
