"""What `neuroflow status` was asked for: labels, pipelines, words for a standing, and since when."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import click

from neuroflow.domain.overview import RunFilter, Standing

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*(min|h|d|w)", re.ASCII)
_MINUTES = {"min": 1, "h": 60, "d": 24 * 60, "w": 7 * 24 * 60}
# The words of `neuroflow runs list`, where they differ.
_OTHER_WORDS = {
    "completed": Standing.DONE,
    "submitted": Standing.QUEUED,
    "pending": Standing.WAITING,
    "retry_wait": Standing.RETRYING,
}


@dataclass(frozen=True)
class Asked:
    """The options as they were given."""

    subjects: Sequence[str]
    sessions: Sequence[str]
    pipelines: Sequence[str]
    standings: Sequence[str]
    failed: bool
    since: str | None

    def run_filter(self, now: datetime) -> RunFilter:
        """Return which runs are meant.

        Raises:
            click.BadParameter: for a word or a time that nobody knows.
        """
        standings = [_standing(word) for word in self.standings]
        return RunFilter(
            subjects=_once(self.subjects),
            sessions=_once(self.sessions),
            pipelines=_once(self.pipelines),
            standings=tuple(dict.fromkeys([*standings, *([Standing.FAILED] if self.failed else [])])),
            since=None if self.since is None else _moment(self.since, now),
        )


def _once(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _standing(word: str) -> Standing:
    lower = word.lower()
    if lower in _OTHER_WORDS:
        return _OTHER_WORDS[lower]
    try:
        return Standing(lower)
    except ValueError:
        near = difflib.get_close_matches(lower, [*Standing, *_OTHER_WORDS], n=1)
        guess = f" Did you mean '{near[0]}'?" if near else ""
        message = f"{word!r} is no status.{guess} There are: {', '.join(Standing)}"
        raise click.BadParameter(message, param_hint="'--status'") from None


def _moment(text: str, now: datetime) -> datetime:
    match = _AGO.fullmatch(text.strip())
    try:
        if match:
            return now - timedelta(minutes=float(match[1]) * _MINUTES[match[2]])
        moment = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{text!r} is no time: give 30min, 12h, 2d or 1w ago, or a date such as 2026-03-01 or 2026-03-01T12:00",
            param_hint="'--since'",
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
