"""What a typed status means: the words of `neuroflow status` and those of single runs, wherever either is asked for."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import StrEnum

    from neuroflow.domain import RunStatus
    from neuroflow.domain.overview import CellWord, Standing

Meaning = TypeVar("Meaning")

# An attempt has fewer words than its run.
_ATTEMPT_WORDS = {"done": "succeeded", "completed": "succeeded", "queued": "submitted"}


def run_statuses(word: str) -> tuple[RunStatus, ...]:
    """Return which statuses of runs a word means: its own first, `queued` among them, or those of `neuroflow status`.

    Raises:
        click.BadParameter: for a word that nobody knows, or that no single run's status says.
    """
    from neuroflow.domain import RunStatus
    from neuroflow.domain.overview import CellWord, Standing, statuses_of

    own = {str(status): (status,) for status in RunStatus}
    others = {str(standing): statuses_of(standing) for standing in Standing}
    found = _look_up(word, own, others | {str(cell): () for cell in CellWord})
    if not found:
        raise click.BadParameter(
            f"{word!r} is no status that a run has by itself: `neuroflow status --status {word.lower()}` lists what "
            f"stands so. There are: {', '.join(own)}"
        )
    return found


def standing(word: str) -> Standing | CellWord:
    """Return what a word means to `neuroflow status`.

    Raises:
        click.BadParameter: for a word that nobody knows.
    """
    from neuroflow.domain import RunStatus
    from neuroflow.domain.overview import CellWord, Standing, standing_of

    own: dict[str, Standing | CellWord] = {str(one): one for one in (*Standing, *CellWord)}
    others = {str(status): standing_of(status, superseded=False, resolved=False) for status in RunStatus}
    return _look_up(word, own, others, hint="'--status'")


def member(word: str, statuses: type[StrEnum]) -> StrEnum:
    """Return the member of another enum that a word means.

    Raises:
        click.BadParameter: for a word that nobody knows.
    """
    from neuroflow.domain import AttemptStatus

    others = _ATTEMPT_WORDS if statuses is AttemptStatus else {}
    return _look_up(
        word, {str(one): one for one in statuses}, {other: statuses(meant) for other, meant in others.items()}
    )


def _look_up(
    word: str, own: Mapping[str, Meaning], others: Mapping[str, Meaning], *, hint: str | None = None
) -> Meaning:
    lower = word.lower()
    if lower in own:
        return own[lower]
    if lower in others:
        return others[lower]
    near = difflib.get_close_matches(lower, [*own, *others], n=1)
    guess = f" Did you mean '{near[0]}'?" if near else ""
    raise click.BadParameter(f"{word!r} is none of: {', '.join(own)}.{guess}", param_hint=hint)
