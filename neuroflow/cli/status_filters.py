"""What `neuroflow status` was asked for: labels, pipelines, words for a standing, and since when."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import click

from neuroflow.domain.overview import CellWord, RunFilter, Standing

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
    since: datetime | None

    def run_filter(self) -> RunFilter:
        """Return which runs are meant.

        Raises:
            click.BadParameter: for a word that nobody knows.
        """
        found = [_standing(word) for word in self.standings]
        standings = [one for one in found if isinstance(one, Standing)]
        return RunFilter(
            subjects=_once(self.subjects),
            sessions=_once(self.sessions),
            pipelines=_once(self.pipelines),
            standings=tuple(dict.fromkeys([*standings, *([Standing.FAILED] if self.failed else [])])),
            since=self.since,
            words=tuple(dict.fromkeys(one for one in found if isinstance(one, CellWord))),
        )


def _once(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _standing(word: str) -> Standing | CellWord:
    lower = word.lower()
    if lower in [*CellWord]:
        return CellWord(lower)
    if lower in _OTHER_WORDS:
        return _OTHER_WORDS[lower]
    try:
        return Standing(lower)
    except ValueError:
        near = difflib.get_close_matches(lower, [*Standing, *CellWord, *_OTHER_WORDS], n=1)
        guess = f" Did you mean '{near[0]}'?" if near else ""
        message = f"{word!r} is no status.{guess} There are: {', '.join([*Standing, *CellWord])}"
        raise click.BadParameter(message, param_hint="'--status'") from None
