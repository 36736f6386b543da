"""Database URLs: check them, and show them without their secrets."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from neuroflow.errors import ConfigError

_ALLOWED = "allowed are sqlite:////absolute/path.db, postgresql://user@host/name, and embedded"
_POSTGRES_NAMES = frozenset({"postgres", "postgresql", "postgresql+psycopg"})
_SQLITE_NAMES = frozenset({"sqlite", "sqlite+pysqlite"})
_SECRET_OPTIONS = frozenset({"password", "sslpassword", "passfile"})


def parse_url(text: str) -> URL:
    """Return the URL of a database that neuroflow can use, with its driver named.

    Raises:
        ConfigError: for another kind of database, or an SQLite database that isn't an absolute file.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # Not chained: the original error may quote the URL with its password.
        raise ConfigError(f"database.url is no database URL; {_ALLOWED}") from None
    if url.drivername in _POSTGRES_NAMES:
        return url.set(drivername="postgresql+psycopg")
    if url.drivername in _SQLITE_NAMES:
        return _checked_sqlite(url)
    raise ConfigError(f"database.url names '{url.drivername}', which neuroflow can't use; {_ALLOWED}")


def _checked_sqlite(url: URL) -> URL:
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise ConfigError("database.url names an SQLite database without a file; " + _ALLOWED)
    if not Path(url.database).is_absolute():
        # Services start in different folders, and would each work on a database of their own.
        raise ConfigError(
            f"database.url names the relative file '{url.database}'", hint="write sqlite:////absolute/path.db"
        )
    return url.set(drivername="sqlite")


def secrets_of(url: URL) -> tuple[str, ...]:
    """Return the parts of a URL that no message may hold."""
    found = [str(url.password)] if url.password else []
    for key, value in url.query.items():
        if key in _SECRET_OPTIONS:
            found += [value] if isinstance(value, str) else list(value)
    return tuple(secret for secret in found if secret)


def masked(url: URL) -> str:
    """Return a URL for people, with `***` in place of secrets."""
    hidden = {key: "***" if key in _SECRET_OPTIONS else value for key, value in url.query.items()}
    return url.set(query=hidden).render_as_string(hide_password=True)
