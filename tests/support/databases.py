"""Fresh databases with the present schema, on SQLite and PostgreSQL."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

from neuroflow.core.database import Database
from neuroflow.core.engines import make_private_file
from tests.support.postgres import HOW, create_database, drop_database, find_postgres, postgres_server
from tests.support.require import require

BACKENDS = ("sqlite", "postgres")
BUSY_SECONDS = 20.0


def make_schema(database: Database) -> None:
    """Give a database the present schema; a new SQLite file as a copy of one that the migrations have made."""
    if database.file is None or database.file.exists():
        database.upgrade()
        return
    make_private_file(database.file)
    database.file.write_bytes(_file_with_schema())


@cache
def _file_with_schema() -> bytes:
    # The migrations take a tenth of a second: too much for each of a thousand tests.
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/state.db")
        database.upgrade()
        database.close()
        return (Path(folder) / "state.db").read_bytes()


class PostgresForTests:
    """A server that is started when first asked for, and a template database with the schema."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._numbers = itertools.count(1)
        self._server_url: str | None = None

    def server_url(self) -> str:
        """Return the server's URL; skip or fail the test when there is no PostgreSQL."""
        require("postgres", find_postgres() is not None, HOW)
        if self._server_url is None:
            self._server_url = self._stack.enter_context(postgres_server())
            database = Database(create_database(self._server_url, "with_schema"))
            database.upgrade()
            database.close()
        return self._server_url

    @contextmanager
    def database_url(self, *, empty: bool = False) -> Iterator[str]:
        """Give a database of its own to a test."""
        server_url = self.server_url()
        name = f"test_{next(self._numbers)}"
        try:
            yield create_database(server_url, name, template="template1" if empty else "with_schema")
        finally:
            drop_database(server_url, name)


@contextmanager
def fresh_database_url(backend: str, folder: Path, postgres: PostgresForTests, *, empty: bool = False) -> Iterator[str]:
    """Give the URL of a new database, with the present schema unless it shall be empty."""
    if backend == "postgres":
        with postgres.database_url(empty=empty) as url:
            yield url
        return
    url = f"sqlite:///{folder}/state.db"
    if not empty:
        make_schema(Database(url))
    yield url
