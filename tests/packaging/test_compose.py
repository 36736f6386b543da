"""Docker's files name queues, commands and checks that exist; the checks work on real services."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import click
import pytest
import yaml

from neuroflow.cli.main import cli
from neuroflow.cli.up_services import QUEUES
from tests.chain.site import Site
from tests.support.require import require

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"
WORKSTATION = ROOT / "docker-compose.workstation.yml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
OURS = [name for name, service in SERVICES.items() if "neuroflow" in service["image"] and name != "flower"]
WORKERS = [name for name in OURS if "worker" in SERVICES[name]["command"]]
WAIT_SECONDS = 60.0


def parsed(words: list[str]) -> dict[str, Any]:
    """Parse a command line of ours as click does, without running it."""
    command: click.Command = cli
    while isinstance(command, click.Group):
        name, *words = words
        command = command.commands[name]
    return command.make_context(command.name, list(words)).params


def test_every_queue_has_a_worker() -> None:
    served = [queue for name in WORKERS for queue in parsed(SERVICES[name]["command"])["queues"].split(",")]
    assert sorted(served) == sorted(QUEUES)


def test_every_command_is_one_that_the_command_line_takes() -> None:
    for name in OURS:
        parsed(SERVICES[name]["command"])
    assert sorted(OURS) == ["beat", "heavy", "processing", "schema", "workflow"]


def test_the_image_runs_a_command_that_the_command_line_takes() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    parsed(json.loads(re.findall(r"^CMD (\[.*\])", text, re.MULTILINE)[-1]))
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["1000:1000"]
    assert "HEALTHCHECK" in text


def test_every_service_that_stays_has_a_health_check() -> None:
    lasting = [name for name in SERVICES if name != "schema"]
    assert [name for name in lasting if "test" not in SERVICES[name].get("healthcheck", {})] == []


def test_a_workers_check_asks_for_that_worker() -> None:
    for name in WORKERS:
        assert parsed(SERVICES[name]["command"])["name"] == SERVICES[name]["environment"]["NEUROFLOW_NODE"] == name


def test_heavy_work_has_the_limits_of_the_design() -> None:
    heavy = SERVICES["heavy"]
    assert (heavy["mem_limit"], heavy["cpus"], parsed(heavy["command"])["concurrency"]) == ("32g", 8, 1)


def test_nothing_listens_beyond_this_machine() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {"flower": ["127.0.0.1:5555:5555"]}


def test_no_password_stands_in_a_command_line() -> None:
    for name, service in SERVICES.items():
        words = json.dumps([service.get("command"), service.get("entrypoint"), service.get("healthcheck")])
        assert "PASSWORD" not in words, name


def test_the_example_names_every_variable() -> None:
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", COMPOSE.read_text() + WORKSTATION.read_text()))
    told = set(re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert used <= told


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    """The example, filled in."""
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    filled = re.sub(r"^(\w*PASSWORD)=$", r"\1=abc123", text, flags=re.MULTILINE).replace("GID=\n", "GID=999\n")
    (tmp_path / "env").write_text(filled, encoding="utf-8")
    return tmp_path / "env"


@pytest.mark.slow
@pytest.mark.parametrize("files", [(COMPOSE,), (COMPOSE, WORKSTATION)], ids=["alone", "workstation"])
def test_compose_itself_takes_the_files(env_file: Path, files: tuple[Path, ...]) -> None:
    program = shutil.which("docker-compose")
    require("compose", program is not None, "install docker-compose (Debian: docker-compose)")
    options = [part for file in files for part in ("--file", str(file))]
    done = subprocess.run(
        [str(program), "--env-file", str(env_file), *options, "config"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    assert services["beat"]["environment"]["NEUROFLOW_REDIS__URL"] == "redis://:abc123@redis:6379/0"
    assert ("group_add" in services["heavy"]) is (WORKSTATION in files)


@pytest.mark.slow
def test_compose_names_a_variable_that_is_not_set(tmp_path: Path) -> None:
    program = shutil.which("docker-compose")
    require("compose", program is not None, "install docker-compose (Debian: docker-compose)")
    (tmp_path / "env").write_text("REDIS_PASSWORD=a\n")
    command = [str(program), "--env-file", str(tmp_path / "env"), "--file", str(COMPOSE), "config"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "set it in .env" in done.stderr


# The checks themselves, as compose would run them, on real services.


@contextmanager
def running(command: list[str], log: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Run a service until the block ends."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=dict(environment), stdout=output, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def check(service: str, environment: Mapping[str, str]) -> int:
    """Run a service's health check as Docker would and return its exit code."""
    kind, *words = SERVICES[service]["healthcheck"]["test"]
    # Compose makes one `$` of two before a shell sees them.
    command = [word.replace("$$", "$") for word in words]
    if kind == "CMD-SHELL":
        command = ["/bin/sh", "-c", *command]
    return subprocess.run(command, env=dict(environment), capture_output=True, timeout=60, check=False).returncode


def wait_until(done: Callable[[], bool]) -> None:
    """Wait until a service is up."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.3)


@pytest.fixture
def environment(tmp_path: Path, redis_server: str) -> dict[str, str]:
    """The environment of our services: a configuration, a database and Redis."""
    site = Site(tmp_path / "site", {"cluster": {"poll_seconds": 1}})
    site.services().database.close()
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, module in (("neuroflow", "neuroflow.cli.main"), ("celery", "celery")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n')
        (programs / name).chmod(0o755)
    (programs / "python").symlink_to(sys.executable)
    return {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "NEUROFLOW_CONFIG": str(site.folder.config),
        "NEUROFLOW_REDIS__URL": redis_server,
    }


@pytest.mark.slow
def test_a_worker_and_beat_are_well_while_they_run_and_not_before(tmp_path: Path, environment: dict[str, str]) -> None:
    mine = {**environment, "NEUROFLOW_NODE": "workflow"}
    assert check("beat", environment) != 0
    with (
        running(["neuroflow", *SERVICES["workflow"]["command"]], tmp_path / "worker.log", mine),
        running(["neuroflow", *SERVICES["beat"]["command"]], tmp_path / "beat.log", environment),
    ):
        wait_until(lambda: check("workflow", mine) == 0)
        wait_until(lambda: check("beat", environment) == 0)
        assert check("heavy", {**environment, "NEUROFLOW_NODE": "heavy"}) != 0
    for file in (tmp_path / "site" / "state").glob("celerybeat-schedule*"):
        os.utime(file, (0, 0))
    assert check("beat", environment) != 0


@pytest.mark.slow
def test_flower_is_well_and_asks_for_a_password(tmp_path: Path, environment: dict[str, str]) -> None:
    port = free_port()
    service = SERVICES["flower"]
    words = [re.sub(r"(?<==)[\d.]+\.\d+$", "127.0.0.1", word).replace("5555", str(port)) for word in service["command"]]
    mine = {**environment, "FLOWER_BASIC_AUTH": "neuroflow:abc123"}
    with running([*service["entrypoint"], *words], tmp_path / "flower.log", mine):
        url = f"http://127.0.0.1:{port}"

        def answers() -> bool:
            try:
                with urlopen(f"{url}/healthcheck", timeout=5) as answer:  # noqa: S310
                    return bool(answer.status == 200)
            except (URLError, OSError):
                return False

        wait_until(answers)
        with pytest.raises(HTTPError) as refused:
            urlopen(url, timeout=10)
        refused.value.close()
        assert refused.value.code == 401


def test_redis_wants_the_password_and_is_well(tmp_path: Path) -> None:
    require("redis", shutil.which("redis-server") is not None, "install redis-server")
    port = free_port()
    shell, option, text = SERVICES["redis"]["command"]
    place = f"redis-server - --bind 127.0.0.1 --port {port} --dir '{tmp_path}'"
    text = text.replace("$$", "$").replace("redis-server -", place)
    ping = SERVICES["redis"]["healthcheck"]["test"][1].replace("redis-cli", f"redis-cli -p {port}")
    mine = {**os.environ, "REDISCLI_AUTH": "abc123"}
    with running([shell, option, text], tmp_path / "redis.log", mine):
        wait_until(lambda: subprocess.run(["/bin/sh", "-c", ping], env=mine, check=False).returncode == 0)
        other = {**os.environ, "REDISCLI_AUTH": "wrong"}
        assert subprocess.run(["/bin/sh", "-c", ping], env=other, capture_output=True, check=False).returncode != 0


def test_postgres_is_asked_with_options_that_it_takes(fresh_postgres: str) -> None:
    folder = re.search(r"host=([^&]+)", fresh_postgres)
    assert folder is not None
    text = SERVICES["postgres"]["healthcheck"]["test"][1]
    done = subprocess.run(
        ["/bin/sh", "-c", f"{text} --host '{folder[1]}'"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
