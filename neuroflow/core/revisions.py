"""Compare the revision of a database's schema with the code's, without loading what changes schemas."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from neuroflow import __version__
from neuroflow.errors import StateError

_VERSIONS = Path(__file__).resolve().parents[1] / "models" / "migrations" / "versions"
_FILE = re.compile(r"v(\d{4})_\w+\.py", re.ASCII)
_UPGRADE_HINT = "run `neuroflow db upgrade`"


@cache
def shipped_revisions() -> tuple[str, ...]:
    """Return the revisions that this code knows, newest first, by the names of their files."""
    found = [_FILE.fullmatch(path.name) for path in _VERSIONS.iterdir()]
    return tuple(sorted((match.group(1) for match in found if match), reverse=True))


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
        raise StateError(f"the database {database} has no neuroflow schema", hint=_UPGRADE_HINT)
    if current != known[0]:
        raise StateError(
            f"the database {database} is older than this neuroflow {__version__} "
            f"(revision {current}, needed {known[0]})",
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
