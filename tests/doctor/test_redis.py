"""The checks of Redis: real servers, open and closed."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from neuroflow.doctor import redis_server as topic
from tests.doctor.conftest import Patient, free_port
from tests.support import redis_server as real_redis
from tests.support.commands import run
from tests.support.require import require

pytestmark = pytest.mark.redis

NAMES = ("redis", "redis-keeps", "redis-closed")
Start = Callable[..., Path]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a server with options of its own, in a short folder; the socket is `redis.sock` in it."""
    require("redis", shutil.which("redis-server") is not None, real_redis.HOW)
    running: list[tuple[subprocess.Popen[bytes], Path]] = []

    def make(*options: str, port: int = 0, password: str | None = None) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="nfdoc-"))
        file = folder / "redis.sock"
        command = ["redis-server", "--port", str(port), "--unixsocket", str(file), "--dir", str(folder), "--save", ""]
        secret = ["--requirepass", password] if password else []
        process = subprocess.Popen(
            [*command, *secret, *options], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        running.append((process, folder))
        deadline = time.monotonic() + real_redis.START_SECONDS
        while True:
            client = redis.Redis(unix_socket_path=str(file), password=password)
            try:
                client.ping()
                return folder
            except redis.RedisError:
                assert time.monotonic() < deadline, "Redis did not start"
                time.sleep(0.02)
            finally:
                client.close()

    yield make
    for process, folder in running:
        process.terminate()
        process.wait(real_redis.STOP_SECONDS)
        shutil.rmtree(folder)


def socket_url(folder: Path) -> str:
    return f"redis+socket://{folder}/redis.sock?virtual_host=0"


def test_a_private_socket_is_closed(patient: Patient, start: Start) -> None:
    patient.write(redis={"url": socket_url(start())})
    assert patient.codes(*NAMES) == []


def test_a_port_with_a_password_is_closed(patient: Patient, start: Start) -> None:
    port = free_port()
    start(port=port, password="geheim")
    patient.write(redis={"url": f"redis://:geheim@127.0.0.1:{port}/0"})
    assert patient.codes(*NAMES) == []


@pytest.mark.provokes("redis-open")
def test_a_port_without_a_password_is_open(patient: Patient, start: Start) -> None:
    port = free_port()
    start(port=port)
    patient.write(redis={"url": f"redis://127.0.0.1:{port}/0"})
    [found] = patient.look("redis-closed")
    assert found.code == "redis-open"
    assert f"127.0.0.1:{port} answered PING without a password" in found.what
    assert "queue tasks that run as you" in found.why


@pytest.mark.provokes("redis-open")
def test_a_port_beside_the_socket_is_open(patient: Patient, start: Start) -> None:
    patient.write(redis={"url": socket_url(start(port=free_port()))})
    assert patient.codes("redis-closed") == ["redis-open"]


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    """A certificate of this test's own, and its key."""
    require("redis", shutil.which("openssl") is not None, "install openssl")
    key, file = str(tmp_path / "key.pem"), str(tmp_path / "certificate.pem")
    run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", file, "-subj", "/CN=x"])
    return file, key


@pytest.mark.provokes("redis-open")
def test_tls_that_takes_everybody_is_open(patient: Patient, start: Start, certificate: tuple[str, str]) -> None:
    file, key = certificate
    files = ("--tls-cert-file", file, "--tls-key-file", key, "--tls-ca-cert-file", file)
    for password, expected in ((None, ["redis-open"]), ("geheim", [])):
        port = free_port()
        start("--tls-port", str(port), "--tls-auth-clients", "no", *files, password=password)
        secret = f":{password}@" if password else ""
        patient.write(redis={"url": f"rediss://{secret}127.0.0.1:{port}/0?ssl_cert_reqs=none"})
        assert patient.codes("redis", "redis-closed") == expected


@pytest.mark.provokes("redis-socket-open")
def test_a_socket_in_a_folder_that_others_can_enter(patient: Patient, start: Start) -> None:
    folder = start("--unixsocketperm", "777")
    patient.write(redis={"url": socket_url(folder)})
    assert patient.codes("redis-closed") == []
    folder.chmod(0o755)
    [found] = patient.look("redis-closed")
    assert (found.code, found.mend) == ("redis-socket-open", f"chmod 700 {folder}")


@pytest.mark.provokes("redis-socket-open")
def test_the_embedded_one_in_a_folder_that_was_opened(patient: Patient, start: Start) -> None:
    folder = start("--unixsocketperm", "777")
    patient.content["paths"]["state_dir"] = str(folder / "state")
    patient.write(redis={"url": "embedded"})
    place = folder / "state" / "redis"
    place.mkdir(parents=True)
    (place / "redis.sock").symlink_to(folder / "redis.sock")
    folder.chmod(0o755)
    assert patient.codes("redis-closed") == ["redis-socket-open"]


@pytest.mark.provokes("redis-plaintext")
def test_a_password_in_plain_text_over_the_network(patient: Patient, start: Start) -> None:
    address = own_address()
    if address is None:
        pytest.skip("this machine has only its loopback address")
    port = free_port()
    start("--bind", address, "--protected-mode", "no", port=port, password="geheim")
    patient.write(redis={"url": f"redis://:geheim@{address}:{port}/0"})
    assert patient.codes("redis-closed") == ["redis-plaintext"]


def own_address() -> str | None:
    """Return an address of this machine that others can reach."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        try:
            one.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return None
        address = str(one.getsockname()[0])
    return None if address.startswith("127.") else address


@pytest.mark.provokes("redis-evicts")
def test_a_server_that_throws_away(patient: Patient, start: Start) -> None:
    patient.write(redis={"url": socket_url(start("--maxmemory-policy", "allkeys-lru"))})
    [found] = patient.look("redis-keeps")
    assert (found.code, "allkeys-lru" in found.what) == ("redis-evicts", True)


# An old server can't be installed beside a new one: the threshold is raised instead.
@pytest.mark.provokes("redis-old")
def test_an_old_server(patient: Patient, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    patient.write(redis={"url": socket_url(start())})
    monkeypatch.setattr(topic, "OLDEST", 99)
    assert patient.codes("redis") == ["redis-old"]


@pytest.mark.provokes("redis-unreachable")
def test_a_port_where_nobody_listens(patient: Patient) -> None:
    patient.write(redis={"url": f"redis://:geheim@127.0.0.1:{free_port()}/0"})
    found = patient.look(*NAMES)
    assert [one.code for one in found] == ["redis-unreachable", "redis-keeps", "redis-closed"]
    assert "geheim" not in found[0].what


@pytest.mark.provokes("redis-unreachable")
def test_a_wrong_password(patient: Patient, start: Start) -> None:
    port = free_port()
    start(port=port, password="geheim")
    patient.write(redis={"url": f"redis://:falsch@127.0.0.1:{port}/0"})
    assert patient.codes("redis") == ["redis-unreachable"]


@pytest.mark.provokes("redis-no-program")
def test_an_embedded_one_without_its_program(patient: Patient) -> None:
    patient.write(redis={"url": "embedded"})
    assert patient.codes("redis", path="/nonexistent") == ["redis-no-program"]


def test_an_embedded_one_that_does_not_run_is_no_error(patient: Patient) -> None:
    patient.write(redis={"url": "embedded"})
    assert [one.severity for one in patient.look(*NAMES)] == ["ok", "skipped", "skipped"]
