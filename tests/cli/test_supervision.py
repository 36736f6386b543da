"""What `neuroflow up` does about children that hang, are killed, or get a new configuration; what it tells systemd."""

from __future__ import annotations

import io
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest

from neuroflow.cli.sd_notify import Notifier
from neuroflow.cli.signs_of_life import SignsOfLife
from neuroflow.cli.supervise import Supervisor, Timing
from neuroflow.cli.supervised_child import Service, ServiceState
from neuroflow.cli.up_health import BeatCheck, RedisCheck, open_redis
from neuroflow.cli.up_lock import UpLock, hold_up_lock
from neuroflow.cli.up_monitor import UpMonitor
from tests.cli.test_supervise import is_running

QUICK = Timing(stop=5.0, cold_stop=5.0, first_delay=0.01, healthy=30.0, hung=0.3, begin=0.3, check=0.05, tick=0.05)
SLEEP = "import time; time.sleep(60)"


def service(name: str, code: str = SLEEP, **settings: object) -> Service:
    return Service(name, (sys.executable, "-c", code), dict(os.environ), **settings)  # type: ignore[arg-type]


class Watcher:
    """Act on a supervisor at each of its ticks."""

    def __init__(self, act: Callable[[Supervisor, list[ServiceState]], None]) -> None:
        self.act = act
        self.supervisor: Supervisor | None = None
        self.seen: list[ServiceState] = []

    def __call__(self, states: list[ServiceState]) -> None:
        self.seen = states
        if self.supervisor is not None:
            self.act(self.supervisor, states)

    def run(self, services: Sequence[Service], **settings: object) -> int:
        watched = {"output": io.BytesIO(), "timing": QUICK, "on_tick": self, **settings}
        self.supervisor = Supervisor(services, **watched)  # type: ignore[arg-type]
        return self.supervisor.run()

    def stop(self) -> None:
        assert self.supervisor is not None
        self.supervisor.request_stop()
        self.supervisor = None


# --- children that hang ---


def test_a_child_that_lives_but_gives_no_sign_of_life_is_replaced() -> None:
    pids: list[int] = []

    def answers() -> bool:
        return len(set(pids)) > 1  # the second one does

    def act(_: Supervisor, states: list[ServiceState]) -> None:
        if states[0].pid is not None:
            pids.append(states[0].pid)
        if states[0].health == "ok":
            assert states[0].last_sign is not None
            watcher.stop()

    watcher = Watcher(act)
    assert watcher.run([service("worker", check=answers)]) == 0
    assert watcher.seen[0].hung == 1
    assert not psutil.pid_exists(pids[0])


def test_a_child_is_left_alone_while_nobody_can_tell() -> None:
    looks = []

    def cannot_tell() -> bool | None:
        looks.append(time.monotonic())
        return None

    def act(_: Supervisor, states: list[ServiceState]) -> None:
        if len(looks) > 1 and looks[-1] - looks[0] > 3 * QUICK.hung:
            watcher.stop()

    watcher = Watcher(act)
    assert watcher.run([service("worker", check=cannot_tell)]) == 0
    assert (watcher.seen[0].starts, watcher.seen[0].hung) == (1, 0)


def test_what_a_child_leaves_in_its_process_group_ends_with_it() -> None:
    code = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', '{SLEEP}']).pid, flush=True)"
    output = io.BytesIO()

    def act(_: Supervisor, states: list[ServiceState]) -> None:
        if states[0].last_exit is not None:
            watcher.stop()

    watcher = Watcher(act)
    watcher.run([service("worker", code)], output=output)
    orphan = int(output.getvalue().split(b"|")[1].split()[0])
    deadline = time.monotonic() + 10
    while is_running(orphan):
        assert time.monotonic() < deadline, "the orphan goes on"
        time.sleep(0.01)


def test_kills_from_outside_never_end_the_supervisor() -> None:
    killed: set[int] = set()

    def act(_: Supervisor, states: list[ServiceState]) -> None:
        pid = states[0].pid
        if len(killed) >= 8:
            watcher.stop()
        elif pid is not None and pid not in killed:
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)

    watcher = Watcher(act)
    assert watcher.run([service("worker")], timing=Timing(stop=5.0, first_delay=0.0, tick=0.05)) == 0


def test_an_answer_of_a_former_process_is_not_the_present_ones() -> None:
    signs = SignsOfLife(interval=60.0)

    def answers() -> bool:
        signs.watch("worker", lambda: False)  # it is started anew while it is asked
        return True

    signs.watch("worker", answers)
    signs.ask_all()
    sign = signs.of("worker")
    assert sign is not None
    assert sign.health == "unknown"
    signs.stop()


# --- a new configuration ---


def reloading(fresh: Sequence[Service] | None) -> tuple[int, bytes]:
    """Ask once for a reload; return the number of starts, and what the children wrote."""
    output = io.BytesIO()
    asked = []

    def act(supervisor: Supervisor, states: list[ServiceState]) -> None:
        if b"old" in output.getvalue() and not asked:
            asked.append(True)
            supervisor.request_reload()
        elif asked and (b"new" in output.getvalue() or fresh is None):
            watcher.stop()

    watcher = Watcher(act)
    code = "import time; print('{}', flush=True); time.sleep(60)"
    watcher.run([service("worker", code.format("old"))], output=output, reload=lambda: fresh)
    return watcher.seen[0].starts, output.getvalue()


def test_a_hang_up_restarts_the_children_with_what_the_configuration_says_now() -> None:
    starts, output = reloading([service("worker", "import time; print('new', flush=True); time.sleep(60)")])
    assert starts == 2
    assert b"worker | new" in output


def test_a_configuration_that_is_refused_leaves_the_children_alone() -> None:
    starts, output = reloading(None)
    assert (starts, output) == (1, b"worker | old\n")


# --- signs of life ---


def test_beat_lives_as_long_as_it_looks_at_its_schedule(tmp_path: Path) -> None:
    sign = tmp_path / "beat.alive"
    redis_is_there = [True]
    check = BeatCheck(sign, lambda: redis_is_there[0])
    assert check() is False
    sign.touch()
    assert check() is True
    assert check() is False
    redis_is_there[0] = False
    assert check() is None
    os.utime(sign, (1, 1))  # a file server's clock may be years behind
    assert check() is True


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "redis+socket:///no/such.sock?virtual_host=0"])
def test_a_redis_that_is_not_there_is_silent_and_says_why(url: str) -> None:
    check = RedisCheck(url)
    assert not check.answers()
    assert "onnect" in check.error or "No such file" in check.error


def test_the_socket_and_database_of_a_broker_url_are_understood() -> None:
    with open_redis("redis+socket:///a%20b/redis.sock?virtual_host=3") as client:
        known = client.connection_pool.connection_kwargs
        assert (known["path"], known["db"]) == ("/a b/redis.sock", 3)


# --- systemd ---


def test_systemd_is_told_when_everything_is_ready_and_then_that_it_goes_on(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address)
        receiver.settimeout(10)
        notifier = Notifier.from_environment({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "3000000"})
        with hold_up_lock(tmp_path / "state") as lock:
            monitor = UpMonitor(lock, notifier, "digest")
            monitor.ticked([ServiceState("worker", 1, "running", 1, None, health="unknown")])
            assert receiver.recv(100) == b"WATCHDOG=1"
            monitor.ticked([ServiceState("worker", 1, "running", 1, None, health="ok")])
            assert receiver.recv(100) == b"READY=1"


def test_systemd_gives_a_start_that_waits_for_redis_more_time_until_it_was_ready_once(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    redis = RedisCheck("redis://127.0.0.1:1/0")
    signs = SignsOfLife(interval=60.0)
    signs.watch("external redis", redis.answers)
    signs.ask_all()
    well = [ServiceState("worker", 1, "running", 1, None, health="ok")]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address)
        receiver.settimeout(10)
        with hold_up_lock(tmp_path / "state") as lock:
            monitor = UpMonitor(lock, Notifier(address, None), "digest", redis=redis, signs=signs)
            monitor.ticked([])
            assert receiver.recv(100).startswith(b"STATUS=waiting for the Redis")
            assert receiver.recv(100) == b"EXTEND_TIMEOUT_USEC=240000000"
            monitor.changed([])
            assert receiver.recv(100) == b"EXTEND_TIMEOUT_USEC=240000000"
            monitor.ticked(well)
            assert receiver.recv(100).startswith(b"EXTEND_TIMEOUT_USEC=")
            assert receiver.recv(100) == b"READY=1"
            monitor.reloaded("other")
            monitor.changed([])
            receiver.settimeout(0)
            with pytest.raises(BlockingIOError):
                receiver.recv(100)
    signs.stop()


def test_nothing_is_sent_where_systemd_is_not_there_or_means_another_process() -> None:
    Notifier.from_environment({}).send(READY="1")
    other = Notifier.from_environment({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"})
    assert other.watchdog_seconds is None


def test_a_silent_redis_of_ones_own_is_in_the_status(tmp_path: Path) -> None:
    with hold_up_lock(tmp_path / "state") as lock:
        assert isinstance(lock, UpLock)
        redis = RedisCheck("redis://127.0.0.1:1/0")
        signs = SignsOfLife(interval=60.0)
        signs.watch("external redis", redis.answers)
        signs.ask_all()
        monitor = UpMonitor(lock, Notifier(None, None), "digest", redis=redis, signs=signs)
        monitor.changed([])
        text = (tmp_path / "state" / "up.json").read_text()
        assert '"redis_answers": false' in text
        signs.stop()
