"""Ask a database how it is: its integrity, its version, its clock."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text

from neuroflow.core.database import Database

_MOST_PROBLEMS = 10


def integrity_problems(database: Database) -> list[str]:
    """Return what SQLite's own check finds wrong with its file; nothing for PostgreSQL, which looks after itself.

    Raises:
        StateError: when the database can't be read at all.
    """
    if database.file is None:
        return []
    with database.read() as session:
        rows = session.execute(text(f"PRAGMA quick_check({_MOST_PROBLEMS})")).all()
    return [str(row[0]) for row in rows if row[0] != "ok"]


def server_version(database: Database) -> str:
    """Return the version of the server, or of the library that reads the file.

    Raises:
        StateError: when the database does not answer.
    """
    query = "SHOW server_version" if database.file is None else "SELECT sqlite_version()"
    with database.read() as session:
        return str(session.execute(text(query)).scalar_one())


def server_time(database: Database) -> datetime | None:
    """Return the time by the server's clock; None for a file, whose clock is this machine's.

    Raises:
        StateError: when the database does not answer.
    """
    if database.file is not None:
        return None
    with database.read() as session:
        moment: datetime = session.execute(text("SELECT clock_timestamp()")).scalar_one()
        return moment
