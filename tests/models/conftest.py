"""Fixtures: new databases on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from neuroflow.core.database import Database
from tests.support.databases import BACKENDS, PostgresForTests, fresh_database_url


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresForTests]:
    """A PostgreSQL server, started by the first test that needs it."""
    with ExitStack() as stack:
        yield PostgresForTests(stack)


@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.postgres if name == "postgres" else ()) for name in BACKENDS]
)
def database(request: pytest.FixtureRequest, tmp_path: Path, postgres: PostgresForTests) -> Iterator[Database]:
    """A new database that the migrations made."""
    with fresh_database_url(str(request.param), tmp_path, postgres) as url:
        database = Database(url)
        yield database
        database.close()
