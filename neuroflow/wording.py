"""Numbers of things in words, the same in every text for people."""

from __future__ import annotations


def counted(count: int, noun: str, many: str | None = None) -> str:
    """Return a number of things: `1 run`, `2,000 runs`."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"
