"""Messages that are longer than a terminal is wide: their ends tell most, and the middle of a path tells least."""

from __future__ import annotations

import re
import textwrap

_PATH = re.compile(r"(?:/[^\s/:'\"]+){4,}")
_LEAST_WIDTH = 20


def fitted(text: str, *, width: int, lines: int = 2) -> list[str]:
    """Return a message in so many lines at most.

    One that is too long loses the middle of its paths first, then its beginning.
    """
    width = max(width, _LEAST_WIDTH)
    whole = _wrap(text, width)
    if len(whole) <= lines:
        return whole
    shorter = _PATH.sub(_without_middle, text)
    found = _wrap(shorter, width)
    if len(found) <= lines:
        return found
    first, *rest = _wrap(shorter, width - 2)[-lines:]
    return [f"… {first}", *rest]


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False)  # paths have hyphens, and are copied


def _without_middle(path: re.Match[str]) -> str:
    first, *_, last = path.group().strip("/").split("/")
    return f"/{first}/…/{last}"
