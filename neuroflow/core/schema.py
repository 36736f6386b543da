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
from neuroflow.core.revisions import check_revision, refuse_newer

__all__ = ["check_revision", "lock_for_transaction", "read_revision", "refuse_newer", "revisions", "run_migrations"]


@cache
def revisions() -> tuple[str, ...]:
    """Return the revisions that this code knows, newest first."""
    script = ScriptDirectory.from_config(_config())
    return tuple(revision.revision for revision in script.walk_revisions())


def read_revision(connection: Connection) -> str | None:
    """Return the revision of a database, None when it has no neuroflow schema."""
    return MigrationContext.configure(connection).get_current_revision()


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
