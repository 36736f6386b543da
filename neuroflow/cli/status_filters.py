"""What `neuroflow status` was asked for: labels, pipelines, words for a standing, and since when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from neuroflow.cli.status_vocabulary import standing
from neuroflow.domain.overview import CellWord, RunFilter, Standing


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
        found = [standing(word) for word in self.standings]
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
