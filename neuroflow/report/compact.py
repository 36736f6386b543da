"""Write rows as columns, and each text once: a page of 100,000 sessions would be hundreds of megabytes otherwise."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

# Control characters have no place in a page; those that turn the direction of writing could make one text look like
# another one.
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def shown(text: str) -> str:
    """Return a text with what can't be seen escaped."""
    return _UNSEEN.sub(lambda one: one.group().encode("unicode_escape", "surrogatepass").decode("ascii"), text)


@dataclass
class Texts:
    """Texts by number; number 0 is the empty one."""

    all: list[str] = field(default_factory=lambda: [""])
    _numbers: dict[str, int] = field(default_factory=lambda: {"": 0})

    def number(self, text: str | None) -> int:
        """Return a text's number; None is the empty text."""
        if not text:
            return 0
        found = self._numbers.get(text)
        if found is None:
            found = self._numbers[text] = len(self.all)
            self.all.append(shown(text))
        return found


@dataclass
class Columns:
    """Rows as one list per field."""

    names: tuple[str, ...]
    lists: tuple[list[object], ...] = ()

    def __post_init__(self) -> None:
        self.lists = tuple([] for _ in self.names)

    def add(self, *values: object) -> None:
        """Add a row."""
        for column, value in zip(self.lists, values, strict=True):
            column.append(value)

    def data(self) -> Mapping[str, list[object]]:
        """Return the lists by name."""
        return dict(zip(self.names, self.lists, strict=True))


def seconds(moment: datetime | None) -> int | None:
    """Return a time as whole seconds since the epoch."""
    return None if moment is None else int(moment.timestamp())
