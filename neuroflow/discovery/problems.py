"""Gather what is wrong with many files into a few lines that a person can read."""

from __future__ import annotations

from collections.abc import Iterable

MAX_NAMES = 20


def name_all(names: Iterable[str]) -> str:
    """List names, quoted and escaped, but for those beyond the first twenty, which are counted."""
    items = list(names)
    # repr() escapes line breaks, control characters and bytes that are no UTF-8: a name can hold all of them.
    shown = ", ".join(repr(name) for name in items[:MAX_NAMES])
    return shown if len(items) <= MAX_NAMES else f"{shown} and {len(items) - MAX_NAMES} more"


class Problems:
    """Names under the kind of trouble that they share."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}

    def add(self, kind: str, name: str) -> None:
        """Put a name under a kind."""
        self._names.setdefault(kind, []).append(name)

    def extend(self, other: Problems) -> None:
        """Take over all names of another collection."""
        for kind, names in other._names.items():
            self._names.setdefault(kind, []).extend(names)

    def names(self, kind: str) -> tuple[str, ...]:
        """Return all names of one kind."""
        return tuple(self._names.get(kind, ()))

    def lines(self) -> tuple[str, ...]:
        """Return one line per kind: what it is, how many, and which."""
        return tuple(f"{kind} ({len(names)}): {name_all(names)}" for kind, names in self._names.items())
