"""Database: connections, transactions and the schema of the state database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, text
from sqlalchemy.orm import Session

from neuroflow.core import schema
from neuroflow.core.engines import WRITES, make_engine, make_private_file, private_copy, sqlite_file
from neuroflow.core.translate import Translator
from neuroflow.core.urls import masked, parse_url, secrets_of
from neuroflow.errors import StateError

if TYPE_CHECKING:
    from pathlib import Path

    from neuroflow.config import NeuroflowConfig


class Database:
    """One SQLite file or PostgreSQL database; safe to share between threads and to carry into a fork."""

    def __init__(self, url: str, busy_timeout_seconds: float = 30.0) -> None:
        parsed = parse_url(url)
        self.name = masked(parsed)  # for people: without secrets
        self._file = sqlite_file(parsed)
        self._translator = Translator(self.name, secrets_of(parsed), busy_timeout_seconds)
        self._engine = make_engine(parsed, busy_timeout_seconds)
        self._writer = self._engine.execution_options(**{WRITES: True})
        self._reader = self._engine
        if self._file is None:
            # A write looks again after it has waited for a lock; a read sees one moment, as it does on SQLite anyway.
            self._writer = self._writer.execution_options(isolation_level="READ COMMITTED")
            self._reader = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @classmethod
    def from_config(cls, config: NeuroflowConfig) -> Database:
        """Return the database that a configuration names."""
        return cls(config.database_url(), config.database.busy_timeout_seconds)

    @property
    def file(self) -> Path | None:
        """The file of an SQLite database, None for PostgreSQL."""
        return self._file

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open a transaction that may change things; commit it unless the body raises.

        Raises:
            StateError: when the database is missing, busy, or refuses.
        """
        with self._translator.guard(), self._session(self._writer) as session, session.begin():
            session.connection()  # begin now: what follows reads under the lock
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a transaction that sees one moment of the database.

        Raises:
            StateError: when the database is missing or busy.
        """
        with self._translator.guard(), self._session(self._reader) as session, session.begin():
            yield session

    def current(self) -> str | None:
        """Return the revision of the schema, None when there is none."""
        if self._file is not None and not self._file.exists():
            return None
        with self._translator.guard(), self._engine.connect() as connection:
            return schema.read_revision(connection)

    def check(self) -> None:
        """Refuse a schema that is missing, older or newer than the code.

        Raises:
            StateError: with what to do.
        """
        schema.check_revision(self.current(), known=schema.revisions(), database=self.name)

    def upgrade(self) -> str:
        """Bring the schema to this code's revision, all or nothing, and return that revision.

        Raises:
            StateError: when the schema is newer than the code, or can't be changed.
        """
        with self.change_schema() as connection:
            schema.refuse_newer(schema.read_revision(connection), known=schema.revisions(), database=self.name)
            schema.run_migrations(connection)
        return schema.revisions()[0]

    @contextmanager
    def change_schema(self) -> Iterator[Connection]:
        """Open a transaction that may change tables, alone; commit it if every reference still points somewhere.

        Raises:
            StateError: when the database is missing, busy, or refuses, or a reference is broken.
        """
        if self._file is not None:
            self._make_file(self._file)
        with self._translator.guard(), self._writer.connect() as connection:
            if self._file is not None:
                # SQLite alters a table by replacing it, which foreign keys forbid; to be set before BEGIN.
                connection.connection.cursor().execute("PRAGMA foreign_keys = OFF")
            with connection.begin():
                schema.lock_for_transaction(connection, "upgrade")
                yield connection
                self._check_references(connection)

    @contextmanager
    def moment(self, folder: Path) -> Iterator[Connection]:
        """Read one moment of the database for as long as it takes, without keeping writers from their work.

        Args:
            folder: takes a copy of an SQLite file for that time; there a reader would lock writers out.

        Raises:
            StateError: when the database is missing or busy, or its file is damaged.
        """
        if self._file is None:
            with self.read() as session:
                yield session.connection()
            return
        with self._translator.guard(), private_copy(self._file, folder) as engine, engine.connect() as connection:
            yield connection

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._engine.dispose()

    @staticmethod
    def _session(engine: Engine) -> Session:
        return Session(engine, autoflush=False, expire_on_commit=False)

    def _make_file(self, path: Path) -> None:
        try:
            make_private_file(path)
        except OSError as error:
            raise StateError(
                f"the database file {path} can't be made: {error.strerror}",
                hint="make its folder writable, or name another in database.url",
            ) from error

    def _check_references(self, connection: Connection) -> None:
        if self._file is None:
            return
        broken = connection.execute(text("PRAGMA foreign_key_check")).all()
        if broken:
            raise StateError(
                f"the change of {self.name} was undone: {len(broken)} rows would point nowhere, "
                f"the first in {broken[0][0]}",
                hint="please report this, with the output of `neuroflow db current`",
            )
