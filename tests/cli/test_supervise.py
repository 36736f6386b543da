"""`neuroflow up`: order, restarts, output, an orderly end, and only one per state folder."""

from __future__ import annotations

import fcntl
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest
import redis

from neuroflow.cli import embedded_redis
from neuroflow.cli.supervise import Supervisor, Timing
from neuroflow.cli.supervised_child import Service, ServiceState
from neuroflow.cli.up_lock import AlreadyUpError, hold_up_lock, read_status
from neuroflow.cli.up_services import QUEUES, child_environment, services
from neuroflow.config import NeuroflowConfig
from neuroflow.errors import ConfigError, NeuroflowError

QUICK = Timing(stop=5.0, cold_stop=5.0, first_delay=0.01, healthy=30.0)
HAS_REDIS = embedded_redis.shutil.which("redis-server") is not None
needs_redis = pytest.mark.skipif(not HAS_REDIS, reason="redis-server is not installed")


def service(name: str, code: str, **settings: object) -> Service:
    return Service(name, (sys.executable, "-c", code), dict(os.environ), **settings)  # type: ignore[arg-type]


class StopOnce:
    """Ask a supervisor to stop when its children are in a certain state: once, as a second time means `at once`."""

    def __init__(self, when: Callable[[list[ServiceState]], bool]) -> None:
        self.when = when
        self.supervisor: Supervisor | None = None
        self.starts = 0

    def __call__(self, states: list[ServiceState]) -> None:
        self.starts = states[0].starts
        if self.supervisor is not None and self.when(states):
            self.supervisor.request_stop()
            self.supervisor = None


def supervise(
    child: Service,
    *,
    until: Callable[[list[ServiceState]], bool],
    output: IO[bytes] | None = None,
    timing: Timing = QUICK,
) -> tuple[int, int]:
    """Run one service until something has happened; return the exit code and the number of starts."""
    stop = StopOnce(until)
    stop.supervisor = Supervisor([child], output=output or io.BytesIO(), timing=timing, on_change=stop)  # type: ignore[arg-type]
    return stop.supervisor.run(), stop.starts


def write_config(folder: Path, *, redis_url: str = "embedded") -> Path:
    (folder / "dicom").mkdir(parents=True, exist_ok=True)
    file = folder / "neuroflow.yaml"
    file.write_text(
        "paths: {dicom_root: dicom, bids_root: bids, derivatives_root: deriv, work_root: work, state_dir: state}\n"
        f"redis: {{url: '{redis_url}'}}\n"
    )
    return file


def load(folder: Path, **settings: str) -> NeuroflowConfig:
    return NeuroflowConfig.find_and_load(write_config(folder, **settings), environ={})


# --- the supervisor ------------------------------------------------------------------------------


def test_output_is_passed_on_with_a_prefix_and_a_signal_stops_all_in_order() -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('bye'), sys.exit(0)))\n"
        "print('hello', flush=True)\n"
        "while True: time.sleep(0.05)\n"
    )
    seen: dict[str, str] = {}
    output = io.BytesIO()
    ended: list[str] = []

    def watch(states: list[ServiceState]) -> None:
        for state in states:
            if state.state == "stopped" and state.name not in ended:
                ended.append(state.name)
        seen.update({state.name: state.state for state in states})

    def ready() -> bool:
        return b"base   | hello" in output.getvalue()

    def stop_once_both_are_there(_: list[ServiceState]) -> None:
        if b"worker | hello" in output.getvalue() and not asked:
            asked.append(True)
            os.kill(os.getpid(), signal.SIGTERM)

    asked: list[bool] = []
    supervisor = Supervisor(
        [service("base", code, ready=ready), service("worker", code)],
        output=output,
        timing=QUICK,
        on_change=watch,
        on_tick=stop_once_both_are_there,
    )
    assert supervisor.run() == 0
    lines = output.getvalue().decode().splitlines()
    assert lines.index("base   | hello") < lines.index("worker | hello")
    assert lines.index("worker | bye") < lines.index("base   | bye")
    assert ended[-1] == "base"
    assert set(seen.values()) == {"stopped"}


def test_a_child_that_ends_is_started_again() -> None:
    # A child that was asked to stop ends by the signal: that is orderly.
    code, starts = supervise(service("x", ""), until=lambda states: states[0].starts >= 3)
    assert (code, starts) == (0, 3)


def test_a_child_that_never_runs_well_is_given_up() -> None:
    output = io.BytesIO()
    other = service("other", "import time; time.sleep(60)")
    broken = service("broken", "import sys; sys.exit('no configuration')")
    states: list[ServiceState] = []
    supervisor = Supervisor([other, broken], output=output, timing=QUICK, on_change=lambda now: states.extend(now))
    assert supervisor.run() == 1
    assert output.getvalue().count(b"broken | no configuration") == 5
    assert {state.state for state in states[-2:]} == {"stopped", "waiting"}


def test_a_program_that_does_not_exist_is_given_up() -> None:
    supervisor = Supervisor([Service("x", ("/no/such/program",), {})], output=io.BytesIO(), timing=QUICK)
    assert supervisor.run() == 1


def test_a_child_that_was_well_is_restarted_for_ever() -> None:
    timing = Timing(stop=5.0, first_delay=0.01, healthy=0.0)
    code, starts = supervise(service("x", ""), until=lambda states: states[0].starts >= 8, timing=timing)
    assert (code, starts) == (0, 8)


def test_a_child_that_does_not_end_is_killed_once_its_time_is_up() -> None:
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\n"
    output = io.BytesIO()
    child = service("x", stubborn + "time.sleep(60)", ready=lambda: b"up" in output.getvalue())
    started = time.monotonic()
    timing = Timing(stop=0.2, cold_stop=5.0, first_delay=0.01)
    code, _ = supervise(child, until=lambda states: states[0].state == "running", output=output, timing=timing)
    assert code == 1
    assert time.monotonic() - started < 10


def test_a_second_request_does_not_wait_for_the_children() -> None:
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\n"
    output = io.BytesIO()

    def stop_twice(states: list[ServiceState]) -> None:
        if states[0].state == "running":
            supervisor.request_stop()
            supervisor.request_stop()

    child = service("x", stubborn + "time.sleep(60)", ready=lambda: b"up" in output.getvalue())
    supervisor = Supervisor([child], output=output, timing=Timing(stop=600.0), on_change=stop_twice)
    started = time.monotonic()
    assert supervisor.run() == 1
    assert time.monotonic() - started < 10


def test_long_lines_rests_without_a_line_end_and_bytes_that_are_no_text_are_passed_on() -> None:
    output = io.BytesIO()
    code = "import sys; sys.stdout.buffer.write(b'a' * 200_000 + b'\\n\\xff\\x00rest')"
    supervise(service("x", code), until=lambda states: states[0].last_exit is not None, output=output)
    lines = output.getvalue().splitlines()
    assert sum(line.count(b"a") for line in lines) == 200_000
    assert lines[-1] == b"x | \xff\x00rest"


def test_a_reader_that_goes_away_does_not_end_the_services() -> None:
    receiver, sender = os.pipe()
    os.close(receiver)
    with os.fdopen(sender, "wb", buffering=0) as output:
        child = service("x", "print('hello')")
        assert supervise(child, until=lambda states: states[0].starts >= 3, output=output) == (0, 3)


def test_children_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from neuroflow.cli.supervise import Supervisor\n"
        "from neuroflow.cli.supervised_child import Service\n"
        'child = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"\n'
        "s = Supervisor([Service('x', (sys.executable, '-c', child), dict(os.environ))], output=sys.stdout.buffer)\n"
        "s.run()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    lines = iter(process.stdout.readline, b"")
    pid = next(int(line.split(b"|")[1]) for line in lines if line.startswith(b"x | "))
    process.kill()
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 10
    while is_running(pid):
        assert time.monotonic() < deadline, "the child outlived its supervisor"
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# --- one per state folder ------------------------------------------------------------------------


def test_a_second_one_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    refused = pytest.raises(AlreadyUpError, match=rf"already runs on .*: process {os.getpid()} on ")
    with hold_up_lock(tmp_path / "state"), refused:
        hold_up_lock(tmp_path / "state").__enter__()
    with hold_up_lock(tmp_path / "state"):
        pass


def test_children_that_outlive_a_killed_one_keep_the_lock(tmp_path: Path) -> None:
    code = (
        "import os, signal, subprocess, sys\n"
        "from pathlib import Path\n"
        "from neuroflow.cli.up_lock import hold_up_lock\n"
        "with hold_up_lock(Path(sys.argv[1])) as lock:\n"
        "    child = subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL, pass_fds=(lock.descriptor,))\n"
        "    print(child.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, check=False)
    child = int(killed.stdout)
    try:
        with pytest.raises(AlreadyUpError, match="is gone, but its services still end"):
            hold_up_lock(tmp_path).__enter__()
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_damaged_lock_file_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "up.lock").write_bytes(b"\xff{not json" * 10)
    with hold_up_lock(tmp_path), pytest.raises(AlreadyUpError):
        hold_up_lock(tmp_path).__enter__()
    (tmp_path / "up.lock").write_bytes(b"\xff{not json")
    descriptor = os.open(tmp_path / "up.lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(AlreadyUpError, match="process unknown"):
        hold_up_lock(tmp_path).__enter__()
    os.close(descriptor)


def test_the_status_is_what_the_running_one_wrote(tmp_path: Path) -> None:
    assert read_status(tmp_path) is None
    with hold_up_lock(tmp_path) as lock:
        lock.write_status({"services": [{"name": "worker"}]})
        report = read_status(tmp_path)
        assert report is not None
        assert report["pid"] == os.getpid()
        assert report["services"] == [{"name": "worker"}]
    assert read_status(tmp_path) is None


# --- what is run ---------------------------------------------------------------------------------


def test_worker_and_beat_are_this_pythons_celery(tmp_path: Path) -> None:
    config = load(tmp_path, redis_url="redis://127.0.0.1:6379/0")
    worker, beat = services(config, {}, redis=None, quit_signal=signal.SIGQUIT)
    celery = (sys.executable, "-m", "celery", "-A", "neuroflow.workers.celery_app")
    assert worker.command[:6] == (*celery, "worker")
    assert f"--queues={','.join(QUEUES)}" in worker.command
    assert beat.command[:6] == (*celery, "beat")
    assert f"--schedule={tmp_path / 'state' / 'celerybeat-schedule'}" in beat.command


def test_children_get_the_configuration_and_no_variable_that_overrides_it(tmp_path: Path) -> None:
    environ = {"CELERY_BROKER_URL": "redis://elsewhere", "CELERY_RESULT_BACKEND": "x", "HOME": "/home/me"}
    config = load(tmp_path)
    environment = child_environment(config, environ, terminal=False)
    assert environment == {
        "HOME": "/home/me",
        "PYTHONUNBUFFERED": "1",
        "NEUROFLOW_CONFIG": str(tmp_path / "neuroflow.yaml"),
    }
    assert child_environment(config, {}, terminal=True)["NEUROFLOW_LOGGING__FORMAT"] == "console"


# --- the embedded Redis --------------------------------------------------------------------------


@needs_redis
@pytest.mark.redis
@pytest.mark.parametrize("name", ["plain", "with space 'and' quotes", "x" * 120])
def test_the_embedded_redis_is_private_and_keeps_its_data(tmp_path: Path, name: str) -> None:
    config = load(tmp_path / name)
    with embedded_redis.start_embedded_redis(config) as server:
        assert server.url == config.redis_url()
        assert len(os.fsencode(server.socket)) <= 107
        assert server.socket.parent.stat().st_mode & 0o077 == 0
        with redis.Redis(unix_socket_path=str(server.socket)) as client:
            assert client.config_get("port") == {"port": "0"}
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            client.set("key", "kept")
        with pytest.raises(NeuroflowError, match="already"), embedded_redis.start_embedded_redis(config):
            pass
    with (
        embedded_redis.start_embedded_redis(config) as server,
        redis.Redis(unix_socket_path=str(server.socket)) as client,
    ):
        assert client.get("key") == b"kept"
    # Nothing stays in /tmp.
    assert server.socket.parent.is_relative_to(tmp_path) or not server.socket.parent.exists()


@needs_redis
@pytest.mark.redis
def test_an_open_redis_folder_is_closed_before_use(tmp_path: Path) -> None:
    config = load(tmp_path)
    folder = tmp_path / "state" / "redis"
    folder.mkdir(parents=True, mode=0o777)
    folder.chmod(0o777)
    with embedded_redis.start_embedded_redis(config):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_planted_link_instead_of_the_folder_is_refused(tmp_path: Path) -> None:
    config = load(tmp_path)
    (tmp_path / "state").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "state" / "redis").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="is not a folder of this user"):
        embedded_redis.prepare_redis_folder(config)


def test_a_missing_redis_server_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="no `redis-server` on the PATH") as caught:
        embedded_redis.find_redis_server()
    assert "apt install redis-server" in caught.value.hint


def test_an_embedded_redis_needs_redis_url_embedded(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"redis\.url is not `embedded`"):
        embedded_redis.prepare_redis_folder(load(tmp_path, redis_url="redis://127.0.0.1/0"))


FAKE_UP = """
import os, signal, sys
from dataclasses import asdict
from pathlib import Path
from neuroflow.cli.embedded_redis import prepare_redis_folder
from neuroflow.cli.supervise import Supervisor
from neuroflow.cli.supervised_child import Service
from neuroflow.cli.up_lock import hold_up_lock
from neuroflow.config import NeuroflowConfig

config = NeuroflowConfig.find_and_load(Path(sys.argv[1]), environ={})
with hold_up_lock(config.paths.state_dir) as lock:
    folder = prepare_redis_folder(config)
    worker = "import time; print('working', flush=True); time.sleep(60)"
    services = [
        Service("redis", folder.command(), dict(os.environ), ready=folder.answers),
        Service("worker", (sys.executable, "-c", worker), dict(os.environ)),
    ]
    write = lambda states: lock.write_status({"services": [asdict(state) for state in states]})
    supervisor = Supervisor(
        services, output=sys.stdout.buffer, inherited=(lock.descriptor, folder.lock), on_change=write
    )
    sys.exit(supervisor.run())
"""


@needs_redis
@pytest.mark.redis
def test_a_killed_redis_comes_back_with_its_data_and_a_signal_ends_everything(tmp_path: Path) -> None:
    file = write_config(tmp_path)
    process = subprocess.Popen([sys.executable, "-c", FAKE_UP, str(file)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert any(b"worker | working" in line for line in iter(process.stdout.readline, b""))
        socket = str(tmp_path / "state" / "redis" / "redis.sock")
        with redis.Redis(unix_socket_path=socket) as client:
            client.set("key", "kept")
            client.config_set("appendfsync", "always")
            client.set("other", "kept")
        report = read_status(tmp_path / "state")
        assert report is not None
        os.kill(report["services"][0]["pid"], signal.SIGKILL)
        wait_for_redis(socket, not_pid=report["services"][0]["pid"], state=tmp_path / "state")
        with redis.Redis(unix_socket_path=socket) as client:
            assert client.get("key") == b"kept"
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(20) == 0
        assert read_status(tmp_path / "state") is None
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def wait_for_redis(socket: str, *, not_pid: int, state: Path) -> None:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        report = json.loads((state / "up.json").read_text())
        if report["services"][0]["pid"] not in (None, not_pid) and report["services"][0]["state"] == "running":
            return
        time.sleep(0.1)
    raise AssertionError("the embedded Redis was not started again")


def test_the_worker_takes_all_queues_that_there_are() -> None:
    from neuroflow.workers import celery_app

    assert set(QUEUES) == set(celery_app.QUEUES)
