"""Secrets of the configuration are nowhere but in it: not in logs, answers, tracebacks, command lines or jobs."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import redis

from tests.chain.site import Site, celery, wait_until_done
from tests.support import redis_server as real_redis
from tests.support.require import require

pytestmark = [pytest.mark.slow, pytest.mark.redis]

REDIS_SECRET = "r3d1s-secret/with:odd@letters"
DATABASE_SECRET = "d4tabase-secret"
SLACK_SECRET = "T0SECRET/B0SECRET/sl4cksecret"
SECRETS = (REDIS_SECRET, DATABASE_SECRET, "sl4cksecret", "r3d1s-secret")


@contextmanager
def redis_with_a_password(folder: Path) -> Iterator[int]:
    """Run a Redis on a loopback port; its password comes by standard input, and so stands in no command line."""
    require("redis", shutil.which("redis-server") is not None, real_redis.HOW)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = f'bind 127.0.0.1\nport {port}\nrequirepass "{REDIS_SECRET}"\nsave ""\ndir "{folder}"\n'
    server = subprocess.Popen(["redis-server", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=folder)
    assert server.stdin is not None
    server.stdin.write(settings.encode())
    server.stdin.close()
    try:
        client = redis.Redis(port=port, password=REDIS_SECRET)
        end = time.monotonic() + real_redis.START_SECONDS
        while True:
            try:
                client.ping()
                break
            except redis.exceptions.ConnectionError:
                assert time.monotonic() < end
                time.sleep(0.05)
        client.close()
        yield port
    finally:
        server.terminate()
        server.wait(20)


def secret_site(root: Path, port: int) -> Site:
    """Return a site whose configuration holds secrets in every place that takes one."""
    from urllib.parse import quote

    site = Site(
        root,
        {
            "redis": {"url": f"redis://:{quote(REDIS_SECRET, safe='')}@127.0.0.1:{port}/0"},
            "workflow": {"notifications": {"slack_webhook": f"https://hooks.slack.com/services/{SLACK_SECRET}"}},
            "logging": {"level": "DEBUG", "file": str(root / "logs" / "all.log")},
            "cluster": {"poll_seconds": 1},
            "pipelines": {name: {"enabled": False} for name in ("qsiprep", "qsirecon", "qsiparc")},
        },
    )
    site.folder.config.chmod(0o600)
    return site


def command_lines() -> str:
    """Return the command lines of this process's children, as every user of the machine can read them."""
    lines = []
    for child in psutil.Process().children(recursive=True):
        try:
            lines.append(" ".join(child.cmdline()))
        except psutil.Error:
            continue
    return "\n".join(lines)


def places_of(secret: str, folder: Path, *, but: Path) -> list[str]:
    """Return the files below a folder that hold a secret."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and path != but and secret.encode() in path.read_bytes():
            found.append(str(path.relative_to(folder)))
    return found


def neuroflow(site: Site, *arguments: str, **environment: str) -> str:
    command = [sys.executable, "-m", "neuroflow.cli.main", "--config", str(site.folder.config), *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **environment})
    return answer.stdout + answer.stderr


def test_no_secret_leaves_the_configuration_while_everything_works_and_while_redis_dies(tmp_path: Path) -> None:
    site_folder = tmp_path / "site"
    redis_folder = tmp_path / "redis"
    redis_folder.mkdir()
    with redis_with_a_password(redis_folder) as port:
        site = secret_site(site_folder, port)
        site.add_session("01", "01", seed=5)
        services = site.services()
        with celery(site, "worker", "-c", "2", "-l", "DEBUG") as worker, celery(site, "beat", "-l", "DEBUG") as beat:
            neuroflow(site, "workflow", "run")
            wait_until_done(
                services,
                expected={"bids_conversion": 1, "qsiprep": 0, "qsirecon": 0, "qsiparc": 0},
                seconds=90,
                processes=(worker, beat),
            )
            lines = command_lines()
            client = redis.Redis(port=port, password=REDIS_SECRET)
            client.config_set("requirepass", "another one")  # both are sent away, and say why
            for connection in client.client_list():
                if connection["addr"] != client.client_info()["addr"]:
                    client.client_kill(connection["addr"])
            client.close()
            wait_for_text(site.root / "celery-worker.log", "WRONGPASS|invalid username-password|Authentication")
    answers = [
        neuroflow(site, *arguments)
        for arguments in (
            ("config", "show"),
            ("config", "show", "--json"),
            ("--debug", "-v", "workflow", "run"),
            ("status",),
            ("up", "--status"),
        )
    ]
    for secret in SECRETS:
        assert places_of(secret, site_folder, but=site.folder.config) == []
        assert secret not in lines
        assert not [answer for answer in answers if secret in answer]


def wait_for_text(path: Path, pattern: str) -> None:
    """Wait until a log holds what a pattern looks for."""
    import re

    end = time.monotonic() + 60
    while not re.search(pattern, text := path.read_text(encoding="utf-8", errors="replace")):
        assert time.monotonic() < end, text[-3000:]
        time.sleep(0.2)


@pytest.mark.parametrize(
    "arguments", [("status",), ("db", "current"), ("--debug", "status"), ("-v", "--debug", "scan")]
)
def test_a_database_that_is_away_is_named_without_its_password(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    site = Site(tmp_path)
    url = f"postgresql+psycopg://me:{DATABASE_SECRET}@127.0.0.1:1/neuroflow"
    answer = neuroflow(site, *arguments, NEUROFLOW_DATABASE__URL=url)
    assert "127.0.0.1" in answer
    assert DATABASE_SECRET not in answer
    assert places_of(DATABASE_SECRET, tmp_path, but=site.folder.config) == []
