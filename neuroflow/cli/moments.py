"""Moments of the past as people type them: `30m`, `2h`, `3d`, `1w`, `2026-03-01`, `2026-03-01T12:30`."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
_AGO = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s*(s|min|m|h|d|w)", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}


def since(value: str) -> datetime:
    """Return a moment: so long ago, or on a date, in UTC unless it says otherwise."""
    return moment_of(value, now=datetime.now(UTC))


def moment_of(value: str, *, now: datetime) -> datetime:
    """Return the moment that a text means, as seen from `now`.

    Raises:
        click.BadParameter: when it is neither an age nor a date.
    """
    text = value.strip()
    found = _AGO.fullmatch(text)
    try:
        if found:
            return now - timedelta(seconds=float(found[1]) * _SECONDS[found[2]])
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{value!r} is no time: say how long ago (30m, 12h, 7d, 1w) or when (2026-03-01, 2026-03-01T12:30, in UTC)"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def since_option(what: str) -> Callable[[Command], Command]:
    """Return the option `--since`; `what` says in its help what is left out otherwise."""
    return click.option("--since", type=since, metavar="WHEN", help=f"{what}: 12h, 7d, 1w ago, or 2026-03-01 (UTC).")
