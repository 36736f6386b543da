"""What every test gets: a clean environment, and the real services that it asks for."""

from __future__ import annotations

import getpass
import os
import pwd
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import Engine, event

from tests.support import apptainer as real_apptainer
from tests.support import chromium as real_chromium
from tests.support import demo_images as images
from tests.support import postgres as real_postgres
from tests.support import redis_server as real_redis
from tests.support import slurm as real_slurm
from tests.support import sshd as real_sshd
from tests.support.require import require

ORDINARY_USER = "nfuser"  # made by tests/cluster/services.sh
MARKS_OF_FIXTURES = {
    "slurm": ("slurm",),
    "apptainer": ("apptainer",),
    "demo_images": ("apptainer", "slow"),
    "running_redis": ("redis",),  # redis_server needs it too
    "sshd": ("ssh",),
    "chromium": ("chromium",),
    "postgres_url": ("postgres",),  # fresh_postgres needs it too
}
FOREIGN_PREFIXES = (
    *("NEUROFLOW_", "CELERY_", "SUBMITIT_"),
    *("SLURM_", "SBATCH_", "SQUEUE_", "SACCT_", "SCANCEL_"),
    *("APPTAINER_", "APPTAINERENV_", "SINGULARITY_", "SINGULARITYENV_"),
)
KEPT = ("NEUROFLOW_REQUIRE", "NEUROFLOW_TEST_")


# A busy machine is slow, not wrong.
settings.register_profile("neuroflow", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("neuroflow")


def pytest_configure(config: pytest.Config) -> None:
    """Drop the caller's settings before anything reads them: a shell's variables must not change a test."""
    for name in list(os.environ):
        if name.startswith(FOREIGN_PREFIXES) and not name.startswith(KEPT):
            del os.environ[name]


@event.listens_for(Engine, "connect")
def _without_waiting_for_the_disk(connection: object, _record: object) -> None:
    """Let SQLite's commits in this process not wait for the disk: no test cuts the power."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by the services whose fixtures it uses, so that `-m` can't miss one."""
    for item in items:
        for fixture in getattr(item, "fixturenames", ()):
            for mark in MARKS_OF_FIXTURES.get(fixture, ()):
                item.add_marker(mark)


@pytest.fixture(scope="session")
def slurm() -> real_slurm.Slurm:
    """A real SLURM that takes jobs."""
    found = real_slurm.find_slurm()
    require("slurm", found is not None, real_slurm.HOW)
    assert found is not None
    return found


@pytest.fixture(scope="session")
def apptainer(tmp_path_factory: pytest.TempPathFactory) -> real_apptainer.Apptainer:
    """A real Apptainer that has run a container, and the options it needed."""
    found = real_apptainer.find_apptainer(tmp_path_factory.mktemp("apptainer"))
    require("apptainer", found is not None, real_apptainer.HOW)
    assert found is not None
    return found


@pytest.fixture(scope="session")
def demo_images(apptainer: real_apptainer.Apptainer) -> images.DemoImages:
    """The four demo images, built now unless they are up to date."""
    require("apptainer", images.can_build(), images.HOW)
    return images.build_demo_images()


@pytest.fixture(scope="session")
def running_redis() -> Iterator[real_redis.RedisServer]:
    """A private Redis server of this test session."""
    require("redis", shutil.which("redis-server") is not None, real_redis.HOW)
    with real_redis.running_redis() as server:
        yield server


@pytest.fixture
def redis_server(running_redis: real_redis.RedisServer) -> str:
    """The URL of that server, in which no test before has left a message."""
    running_redis.flush()
    return running_redis.url


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a private PostgreSQL server of this test session."""
    require("postgres", real_postgres.find_postgres() is not None, real_postgres.HOW)
    with real_postgres.postgres_server() as url:
        yield url


@pytest.fixture(scope="session")
def sshd() -> Iterator[real_sshd.Sshd]:
    """A private sshd of this test session, which knows one key."""
    require("ssh", real_sshd.find_sshd() is not None, real_sshd.HOW)
    with real_sshd.running_sshd() as server:
        yield server


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A selenium driver of a real Chromium, shared by the test session."""
    programs = real_chromium.find_chromium()
    require("chromium", programs is not None, real_chromium.HOW)
    assert programs is not None
    with real_chromium.running_chromium(programs, tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


@pytest.fixture(scope="session")
def ordinary_user() -> str:
    """The name of a user who isn't root."""
    if os.geteuid() != 0:
        return getpass.getuser()
    require("slurm", ORDINARY_USER in {entry.pw_name for entry in pwd.getpwall()}, real_slurm.HOW)
    return ORDINARY_USER


@pytest.fixture
def fresh_postgres(postgres_url: str) -> Iterator[str]:
    """The URL of a new, empty database on that server."""
    name = f"test_{secrets.token_hex(4)}"
    yield real_postgres.create_database(postgres_url, name)
    real_postgres.drop_database(postgres_url, name)
