"""Moments of the past as people type them: `2h`, `3d`, `2026-03-01`, `2026-03-01T12:30`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

_AGO = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s*([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def since(value: str) -> datetime:
    """Return a moment: so long ago, or on a date, in UTC unless it says otherwise."""
    text = value.strip()
    found = _AGO.fullmatch(text)
    if found:
        return datetime.now(UTC) - timedelta(seconds=float(found[1]) * _SECONDS[found[2]])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is no time: say how long ago (30m, 2h, 3d, 1w) or when (2026-03-01, 2026-03-01T12:30, in UTC)"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
