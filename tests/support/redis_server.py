"""A private Redis server for tests: a Unix socket in a folder of its own, no TCP port."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

HOW = "install redis-server (Debian: redis-server)"
START_SECONDS = 20.0
STOP_SECONDS = 10.0


class RedisServer:
    """A server on a socket in a folder that exists; it keeps nothing on disk."""

    def __init__(self, socket: Path) -> None:
        program = shutil.which("redis-server")
        if program is None:
            raise RuntimeError(f"there is no redis-server: {HOW}")
        self.socket = socket
        options = ["--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700", "--dir", str(socket.parent)]
        options += ["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"]
        setpriv = shutil.which("setpriv")
        # The server ends with the tests, even when they are killed.
        prefix = [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []
        self._command = [*prefix, program, *options]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its URL in the form that Celery takes."""
        return f"redis+socket://{self.socket}?virtual_host=0"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        folder = self.socket.parent
        with (folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(self._command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        _wait_until_it_answers(self._process, self.socket)

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_SECONDS)
            self.socket.unlink(missing_ok=True)

    def flush(self) -> None:
        """Forget everything, tasks included."""
        with redis.Redis(unix_socket_path=str(self.socket)) as client:
            client.flushall()

    def stop(self) -> None:
        """End it in order."""
        if self._process is not None:
            _stop(self._process)


@contextmanager
def running_redis() -> Iterator[RedisServer]:
    """Run a server in a short temporary folder (0700) of its own: a socket's path may have 107 characters."""
    folder = Path(tempfile.mkdtemp(prefix="nfredis-"))
    server = RedisServer(folder / "redis.sock")
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_it_answers(server: subprocess.Popen[bytes], socket: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        client = redis.Redis(unix_socket_path=str(socket))
        try:
            client.ping()
        except redis.exceptions.ConnectionError:
            time.sleep(0.05)
        else:
            return
        finally:
            client.close()
    log = socket.parent / "redis.log"
    raise RuntimeError(f"Redis did not start: {log.read_text(encoding='utf-8', errors='replace')}")


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait(STOP_SECONDS)
