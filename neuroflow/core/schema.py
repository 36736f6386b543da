"""The schema's revision: compare it with the code's, and run the migrations."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

import neuroflow.models.migrations
from neuroflow import __version__
from neuroflow.errors import StateError

_UPGRADE_HINT = "run `neuroflow db upgrade`"


@cache
def revisions() -> tuple[str, ...]:
    """Return the revisions that this code knows, newest first."""
    script = ScriptDirectory.from_config(_config())
    return tuple(revision.revision for revision in script.walk_revisions())


def read_revision(connection: Connection) -> str | None:
    """Return the revision of a database, None when it has no neuroflow schema."""
    return MigrationContext.configure(connection).get_current_revision()


def check_revision(current: str | None, *, known: tuple[str, ...], database: str) -> None:
    """Refuse a database whose schema is not the one of this code.

    Args:
        known: the revisions that the code knows, newest first.
        database: its name in messages.

    Raises:
        StateError: when the schema is missing, older or newer.
    """
    refuse_newer(current, known=known, database=database)
    if current is None:
        raise StateError(f"the database {database} has no neuroflow schema: {_UPGRADE_HINT}", hint=_UPGRADE_HINT)
    if current != known[0]:
        raise StateError(
            f"the database {database} is older than this neuroflow {__version__} "
            f"(revision {current}, needed {known[0]}): {_UPGRADE_HINT}",
            hint=_UPGRADE_HINT,
        )


def refuse_newer(current: str | None, *, known: tuple[str, ...], database: str) -> None:
    """Refuse a database that a later neuroflow has upgraded.

    Raises:
        StateError: when its revision is one that this code does not know.
    """
    if current is not None and current not in known:
        raise StateError(
            f"this neuroflow {__version__} is older than the data (revision {current}); upgrade neuroflow "
            f"before it works on {database}",
            hint="install the neuroflow version that upgraded the database, or a later one",
        )


def run_migrations(connection: Connection, revision: str = "head") -> None:
    """Bring the schema to a revision, this code's unless named, inside the caller's transaction."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def lock_for_transaction(connection: Connection, name: str) -> None:
    """Let one transaction at a time pass; on SQLite a writing transaction is alone already."""
    if connection.dialect.name == "postgresql":
        digest = hashlib.sha256(f"neuroflow:{name}".encode()).digest()
        key = int.from_bytes(digest[:8], "big", signed=True)
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})


def _config() -> Config:
    folder = Path(neuroflow.models.migrations.__file__).parent
    config = Config()
    # '%' starts an interpolation in Alembic's options.
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    return config
