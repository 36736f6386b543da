"""Fixtures: a StateManager on each database, with a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from neuroflow.core.database import Database
from neuroflow.core.state import StateManager
from tests.support.databases import BACKENDS, BUSY_SECONDS, PostgresForTests, fresh_database_url


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **duration: float) -> None:
        """Move on by a duration, in timedelta's words."""
        self.now += timedelta(**duration)


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still until it is moved."""
    return FakeClock()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresForTests]:
    """A PostgreSQL server, started by the first test that needs it."""
    with ExitStack() as stack:
        yield PostgresForTests(stack)


@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.postgres if name == "postgres" else ()) for name in BACKENDS]
)
def backend(request: pytest.FixtureRequest) -> str:
    """The name of the database system that a test runs on."""
    return str(request.param)


@pytest.fixture
def database_url(backend: str, tmp_path: Path, postgres: PostgresForTests) -> Iterator[str]:
    """The URL of a new database with the present schema."""
    with fresh_database_url(backend, tmp_path, postgres) as url:
        yield url


@pytest.fixture
def empty_url(backend: str, tmp_path: Path, postgres: PostgresForTests) -> Iterator[str]:
    """The URL of a new database without a schema."""
    with fresh_database_url(backend, tmp_path, postgres, empty=True) as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A new database with the present schema."""
    database = Database(database_url, BUSY_SECONDS)
    yield database
    database.close()


@pytest.fixture
def state(database: Database, clock: FakeClock) -> StateManager:
    """A StateManager over a new database."""
    return StateManager(database, clock=clock)
