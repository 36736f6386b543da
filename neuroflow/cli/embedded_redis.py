"""A private Redis on a Unix socket in a folder that only its owner can enter: no port, no password to leak."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from neuroflow.cli.up_health import RedisCheck
from neuroflow.config import NeuroflowConfig
from neuroflow.errors import ConfigError, NeuroflowError
from neuroflow.sharing import PRIVATE_FOLDER, SHARED_FOLDER, group_id, is_member, is_shared, open_private

START_SECONDS = 20.0
STOP_SECONDS = 20.0
_PROGRAM = "redis-server"


@dataclass(frozen=True)
class EmbeddedRedis:
    """A running private Redis."""

    url: str
    socket: Path
    pid: int


@dataclass
class RedisFolder:
    """The prepared folders of a private Redis; the lock keeps a second server off the same data."""

    data: Path
    socket: Path
    lock: int  # file descriptor; the server inherits it, so it is held for as long as any of the two lives
    shared: bool = False  # with a group

    def command(self) -> tuple[str, ...]:
        """Return the server's command line."""
        return (
            find_redis_server(),
            *("--port", "0"),
            *("--unixsocket", str(self.socket)),
            *("--unixsocketperm", "770" if self.shared else "700"),
            *("--dir", str(self.data)),
            # Another operator could not read its file. What it forgets are hints, which are sent again.
            *("--appendonly", "no" if self.shared else "yes"),
            *("--save", ""),
            # Celery's queues must never be evicted to make room.
            *("--maxmemory-policy", "noeviction"),
            *("--daemonize", "no"),
        )

    def answers(self) -> bool:
        """Tell whether the server answers on its socket."""
        return RedisCheck(f"redis+socket://{quote(str(self.socket))}").answers()

    def close(self) -> None:
        """Release the lock, as far as this process holds it, and leave nothing in /tmp."""
        if self.socket.parent != self.data:
            with suppress(OSError):
                self.socket.parent.rmdir()
        os.close(self.lock)


def find_redis_server() -> str:
    """Return the path of redis-server.

    Raises:
        ConfigError: saying what to install.
    """
    program = shutil.which(_PROGRAM)
    if program is None:
        raise ConfigError(
            f"redis.url is `embedded`, but there is no `{_PROGRAM}` on the PATH ({os.environ.get('PATH', '')})",
            hint="install Redis 6 or later (apt install redis-server, dnf install redis, conda install redis-server, "
            "or your site's module), or set redis.url to a server that you have",
        )
    return program


def prepare_redis_folder(config: NeuroflowConfig) -> RedisFolder:
    """Make the folders of the private Redis, check that they are private, and lock them.

    Raises:
        ConfigError: when redis.url is not `embedded`, or a folder is not ours alone.
        NeuroflowError: when a Redis runs there already.
    """
    socket = config.redis_socket()
    if socket is None:
        raise ConfigError("redis.url is not `embedded`", hint="set redis.url to `embedded`, or start your own Redis")
    data = config.paths.state_dir / "redis"
    for folder in dict.fromkeys((data, socket.parent)):
        if config.paths.group is None:
            _make_private(folder)
        else:
            _make_shared(folder, config.paths.group)
    lock = open_private(data / "lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise NeuroflowError(
            f"a Redis runs on {data} already",
            hint="another `neuroflow up` holds it; `neuroflow up --status` names it",
        ) from error
    return RedisFolder(data, socket, lock, shared=config.paths.group is not None)


def _make_shared(folder: Path, group: str) -> None:
    """Make a folder for the members of a group; one that is there must be theirs, and nobody else's."""
    gid = group_id(group)
    try:
        if gid is not None and not folder.is_dir():
            folder.mkdir(mode=PRIVATE_FOLDER)
            os.chown(folder, -1, gid)
            os.chmod(folder, SHARED_FOLDER)  # noqa: PTH101
        found = folder.lstat()
    except OSError as error:
        raise ConfigError(f"the folder {folder} of the embedded Redis can't be made: {error.strerror}") from error
    if gid is None or found.st_gid != gid or not is_shared(folder) or not is_member(found.st_uid, gid):
        raise ConfigError(
            f"{folder} is not a folder of the group '{group}' alone, so others could read the embedded Redis",
            hint="remove it, or name another paths.state_dir",
        )


def _make_private(folder: Path) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise ConfigError(f"the folder {folder} of the embedded Redis can't be made: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise ConfigError(
            f"{folder} is not a folder of this user, so others could read the embedded Redis",
            hint="remove it, or name another paths.state_dir",
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        # It is ours and was merely left open: by a copy, or by another program's umask.
        folder.chmod(0o700)


@contextmanager
def start_embedded_redis(config: NeuroflowConfig) -> Iterator[EmbeddedRedis]:
    """Run a private Redis for as long as the context lasts.

    Raises:
        ConfigError: when redis-server is missing, or the folder can't be private.
        NeuroflowError: when it runs already, or does not start.
    """
    folder = prepare_redis_folder(config)
    try:
        with _running(folder) as process:
            _wait_until_ready(folder, process)
            yield EmbeddedRedis(url=config.redis_url(), socket=folder.socket, pid=process.pid)
    finally:
        folder.close()


@contextmanager
def _running(folder: RedisFolder) -> Iterator[subprocess.Popen[bytes]]:
    command = folder.command()
    with (folder.data / "redis.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(folder.lock,),
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _stop(process)


def _wait_until_ready(folder: RedisFolder, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not folder.answers():
        if process.poll() is not None or time.monotonic() > deadline:
            tail = (folder.data / "redis.log").read_text(errors="replace")[-500:]
            raise NeuroflowError(f"the embedded Redis did not start on {folder.socket}: {tail}")
        time.sleep(0.05)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
