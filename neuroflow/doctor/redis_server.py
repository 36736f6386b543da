"""Whether Redis answers, keeps the queues, and is closed to everybody else on this machine."""

from __future__ import annotations

import ipaddress
import shutil
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from neuroflow.config.derived import EMBEDDED
from neuroflow.config.disk import exists
from neuroflow.doctor.check import Check, Context, Finding, error, skipped, warning, well
from neuroflow.masking import mask_text

TOPIC = "Redis"
OLDEST = 6
_SECONDS = 5.0
_PRIVATE_MODE = stat.S_IRWXG | stat.S_IRWXO

UNREACHABLE = error(
    "redis-unreachable",
    "Redis does not answer",
    why="workers get no tasks, so nothing is started",
    mend="start it (with redis.url `embedded`, `neuroflow up` does), or correct redis.url",
)
NO_PROGRAM = error(
    "redis-no-program",
    "redis.url is `embedded`, and there is no redis-server",
    why="`neuroflow up` can't start its own Redis",
    mend="install Redis 6 or later (`apt install redis-server`, `conda install redis-server`, or your site's module), "
    "or use `neuroflow tick` from cron, which needs none",
)
OLD = warning(
    "redis-old",
    "Redis is older than any that neuroflow is tested with",
    why="it gets no more security fixes",
    mend=f"use Redis {OLDEST} or later",
)
EVICTS = error(
    "redis-evicts",
    "Redis may throw queued tasks away when its memory is full",
    why="tasks vanish without a trace; runs wait until their hint is sent again",
    mend="redis-cli CONFIG SET maxmemory-policy noeviction (and in redis.conf)",
)
OPEN = error(
    "redis-open",
    "Redis takes commands from everybody who can reach its port",
    why="any user of this machine can queue tasks that run as you",
    mend="set redis.url to `embedded`, which has no port; or give it a password (`requirepass` in redis.conf), "
    "and put it into redis.url",
)
SOCKET_OPEN = error(
    "redis-socket-open",
    "other users can open the socket of Redis, and it asks for no password",
    why="any user of this machine can queue tasks that run as you",
    mend="chmod 700 {folder}",
)
PLAIN = warning(
    "redis-plaintext",
    "tasks and the password of Redis cross the network in plain text",
    why="whoever reads the network gets the password, and can queue tasks as you",
    mend="use TLS: redis.url with rediss://, and `tls-port` in redis.conf",
)


def _patience() -> dict[str, Any]:
    # Without tries again, which a refused password would be worth to redis-py.
    return {
        "socket_timeout": _SECONDS,
        "socket_connect_timeout": _SECONDS,
        "retry": Retry(NoBackoff(), 0),
    }


@contextmanager
def client(context: Context) -> Iterator[redis.Redis]:
    """Connect as the services do."""
    url = context.config.redis_url().replace("redis+socket://", "unix://", 1)
    url = url.replace("?virtual_host=", "?db=").replace("&virtual_host=", "&db=")
    made = redis.Redis.from_url(url, **_patience())
    try:
        yield made
    finally:
        made.close()


def _embedded_is_down(context: Context) -> bool:
    path = context.config.redis_socket()
    return path is not None and not exists(path)


def _reachable(context: Context) -> Iterator[Finding]:
    url = context.config.redis.url.get_secret_value()
    if url == EMBEDDED and shutil.which("redis-server", path=context.environ.get("PATH")) is None:
        yield NO_PROGRAM.seen(f"no `redis-server` on the PATH ({context.environ.get('PATH', '')})")
        return
    if url == EMBEDDED and _embedded_is_down(context):
        yield well("redis-server is installed; `neuroflow up` starts it")
        return
    try:
        with client(context) as server:
            version = str(_mapping(server.info("server")).get("redis_version", "unknown"))
    except (redis.RedisError, OSError) as problem:
        yield UNREACHABLE.seen(f"{mask_text(context.config.redis_url())}: {mask_text(str(problem))}")
        return
    major = version.partition(".")[0]
    if major.isdigit() and int(major) < OLDEST:
        yield OLD.seen(f"it is version {version}")
        return
    yield well(f"Redis {version} answers")


def _keeps(context: Context) -> Iterator[Finding]:
    try:
        with client(context) as server:
            policy = _mapping(server.config_get("maxmemory-policy")).get("maxmemory-policy", "")
    except redis.ResponseError as problem:
        yield skipped(f"it does not tell its settings: {problem}")
        return
    if policy not in ("noeviction", ""):
        yield EVICTS.seen(f"maxmemory-policy is {policy}")
        return
    yield well("it throws nothing away (noeviction)")


def _closed(context: Context) -> Iterator[Finding]:
    url = urlsplit(context.config.redis_url())
    path = context.config.redis_socket() or (Path(unquote(url.path)) if url.scheme == "redis+socket" else None)
    found = [*(_socket(path) if path is not None else ()), *_ports(context, url)]
    yield from found or [well("nobody else can connect: tried without a password")]


def _socket(path: Path) -> Iterator[Finding]:
    """Look whether another user could open a socket: the folders above it decide, or a password does."""
    if not _takes_commands(redis.Redis(unix_socket_path=str(path), **_patience())):
        return
    # Whoever can't enter one of the folders can't open the socket.
    if any(not (folder.stat().st_mode & _PRIVATE_MODE) for folder in path.parents):
        return
    own = stat.S_IMODE(path.stat().st_mode)
    if own & _PRIVATE_MODE == 0:
        return
    mode = stat.S_IMODE(path.parent.stat().st_mode)
    yield SOCKET_OPEN.seen(f"{path} has the mode {own:03o}, its folder {mode:03o}", folder=path.parent)


def _ports(context: Context, url: Any) -> Iterator[Finding]:
    """Try every port of the server that is known, without the password."""
    host = url.hostname or "127.0.0.1"
    ports = [url.port or 6379] if url.scheme in ("redis", "rediss") else []
    # TLS keeps strangers out only where it asks for their certificate.
    tls: dict[str, Any] = {"ssl": True, "ssl_cert_reqs": "none"} if url.scheme == "rediss" else {}
    # A server that is used by its socket may have a port beside it.
    with client(context) as server:
        try:
            told = _mapping(server.config_get("port")).get("port", "0")
        except redis.RedisError:
            told = "0"
    if url.scheme == "redis+socket" and str(told).isdigit() and int(told):
        ports.append(int(told))
    for port in dict.fromkeys(ports):
        stranger = redis.Redis(host=host, port=port, **tls, **_patience())
        if _takes_commands(stranger):
            yield OPEN.seen(f"{host}:{port} answered PING without a password")
        if url.scheme == "redis" and not _is_this_machine(host):
            yield PLAIN.seen(f"redis.url leads to {host}:{port} without TLS")


def _takes_commands(stranger: redis.Redis) -> bool:
    try:
        return bool(stranger.ping())
    except (redis.RedisError, OSError):
        return False
    finally:
        stranger.close()


def _is_this_machine(host: str) -> bool:
    try:
        addresses = {info[4][0] for info in socket.getaddrinfo(host, None)}
        return all(ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in addresses)
    except (OSError, ValueError):
        return False


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _answers(context: Context) -> str:
    if _embedded_is_down(context):
        return "the embedded Redis does not run now"
    return _in_memory(context)


def _in_memory(context: Context) -> str:
    return "redis.url is memory://" if context.config.redis_url().startswith("memory:") else ""


CHECKS = (
    Check("redis", TOPIC, "it answers", _reachable, (UNREACHABLE, NO_PROGRAM, OLD), applies=_in_memory),
    Check("redis-keeps", TOPIC, "it keeps what is queued", _keeps, (EVICTS,), needs=("redis",), applies=_answers),
    Check(
        "redis-closed",
        TOPIC,
        "closed to other users",
        _closed,
        (OPEN, SOCKET_OPEN, PLAIN),
        needs=("redis",),
        applies=_answers,
        quick=True,
    ),
)
