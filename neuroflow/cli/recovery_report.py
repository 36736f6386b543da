"""Dead letters as `neuroflow recovery` shows them: in groups that failed alike, with the end of one log."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from neuroflow.cli.output import one_line, when, write_table, write_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from neuroflow.core.state import StateManager
    from neuroflow.domain import FailureClass, RunRecord
    from neuroflow.orchestrator.services import Services

_SIGNATURE = re.compile(r"[0-9a-f]{10}")
_LOOKED_AT = 20  # runs whose logs are looked for


@dataclass(frozen=True)
class Group:
    """Runs that failed alike, the newest first."""

    signature: str
    pipeline: str
    failure: FailureClass | None
    example: str
    runs: tuple[RunRecord, ...]


@dataclass(frozen=True)
class Example:
    """The end of the log of one run of a group."""

    run_id: int
    log: str
    tail: tuple[str, ...]


def grouped(letters: Sequence[RunRecord]) -> list[Group]:
    """Gather the runs that failed alike, the largest group first."""
    found: dict[tuple[str, str, FailureClass | None], list[RunRecord]] = {}
    for run in letters:
        found.setdefault((run.signature, run.pipeline, run.failure), []).append(run)
    groups = [Group(*key, runs[0].error_message or runs[0].reason, tuple(runs)) for key, runs in found.items()]
    return sorted(groups, key=lambda group: (-len(group.runs), -group.runs[0].id))


def choose_letters(state: StateManager, what: str) -> list[RunRecord]:
    """Return the dead letters of a signature, or the one with this id.

    Raises:
        NotFoundError: when nothing of that kind waits for a person.
    """
    from neuroflow.errors import NotFoundError

    # Ten decimal digits are a signature: so many runs there are not.
    if _SIGNATURE.fullmatch(what.lower()):
        letters = state.dead_letters(signature=what.lower())
        if letters:
            return letters
    elif what.isdecimal():
        letters = [run for run in state.dead_letters() if run.id == int(what)]
        if letters:
            return letters
        state.get_run(int(what))
    raise NotFoundError(
        f"no failed run with the signature or the number {what!r} waits for a person",
        hint="see `neuroflow recovery list`; `neuroflow runs show` has every run",
    )


def example_of(services: Services, letters: Sequence[RunRecord]) -> Example:
    """Return the end of the newest log there is: of the tool's errors, or else of its output."""
    from neuroflow.views.log_ends import log_ends

    for run in letters[:_LOOKED_AT]:
        attempt = services.state.latest_attempt(run.id)
        if attempt is None:
            continue
        end = log_ends(services.folders(attempt.where), [attempt.folder])[attempt.folder]
        if end.lines:
            return Example(run.id, end.path, end.lines)
    return Example(letters[0].id, "", ())


def write_details(group: Group) -> None:
    """Write a group and all of its runs."""
    write_values(
        {
            "signature": group.signature,
            "pipeline": group.pipeline,
            "class": group.failure,
            "runs": len(group.runs),
            "error": group.example,
        }
    )
    rows = [(run.id, run.scope, run.attempts, when(run.ended_at), one_line(run.reason)) for run in group.runs]
    write_table(("run", "scope", "attempts", "ended", "reason"), rows, empty="")
    click.echo()
