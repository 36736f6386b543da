"""Translate what SQLAlchemy and the drivers raise into StateError, without secrets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError

from neuroflow.errors import StateError

_BUSY_HINT = "try again; if it stays busy, look for a neuroflow process that hangs (`neuroflow up --status`)"
_REACH_HINT = "check database.url, and that the database server runs"
_UPGRADE_HINT = "run `neuroflow db upgrade`"


@dataclass(frozen=True)
class Translator:
    """Know one database's name for people, its secrets and its time limit."""

    name: str
    secrets: tuple[str, ...] = field(repr=False)
    busy_timeout_seconds: float

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Raise StateError for any error of the database."""
        try:
            yield
        except DBAPIError as error:
            raise self._translated(error) from error
        except SQLAlchemyError as error:
            raise StateError(f"the database {self.name} failed: {self._clean(str(error))}", hint="") from error

    def _translated(self, error: DBAPIError) -> StateError:
        text = self._clean(str(error.orig))
        state = str(getattr(error.orig, "sqlstate", None) or "")
        if isinstance(error, IntegrityError):
            return StateError(f"the database {self.name} refused the change: {text}", hint="")
        if "database is locked" in text or state == "55P03":
            return StateError(
                f"the database {self.name} is busy: another process held its lock for {self.busy_timeout_seconds:g} s",
                hint=_BUSY_HINT,
            )
        if "no such table" in text or state == "42P01":
            return StateError(
                f"the database {self.name} has no neuroflow schema, or a damaged one: {text}", hint=_UPGRADE_HINT
            )
        if "readonly database" in text:
            return StateError(
                f"you may read the database {self.name}, and not write it",
                hint="ask whoever runs neuroflow to do this, or to let you write it (`paths.group`)",
            )
        if "disk is full" in text:
            return StateError(f"there is no room left where the database {self.name} lies", hint="make room there")
        if "unable to open database file" in text:
            return StateError(
                f"the database {self.name} can't be opened: the file is missing or closed to you", hint=_UPGRADE_HINT
            )
        if isinstance(error, OperationalError):
            return StateError(f"the database {self.name} does not answer: {text}", hint=_REACH_HINT)
        return StateError(f"the database {self.name} failed: {text}", hint="")

    def _clean(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return " ".join(text.split())
