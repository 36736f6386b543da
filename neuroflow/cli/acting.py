"""How every act goes: work it out, show what follows, ask where it is more than one thing, do it, say what was done."""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from neuroflow.cli.arguments import actor
from neuroflow.cli.output import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from neuroflow.orchestrator.acts import Act
    from neuroflow.orchestrator.services import Services

_DONE = {
    "rerun": "asked for again",
    "cancel": "cancelled",
    "exclude": "excluded",
    "include": "included",
    "priority": "given another priority",
}


@dataclass(frozen=True)
class Manner:
    """How a person wants an act to be done."""

    dry_run: bool
    yes: bool
    reason: str
    as_json: bool
    from_stdin: bool = False  # the list came by it, so that nobody can answer there


def act_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of every act to a command, which gets one Manner instead."""

    @wraps(command)
    def acting(*args: Any, **given: Any) -> None:
        own = {name: given.pop(name) for name in ("dry_run", "yes", "reason", "as_json")}
        selection = given.get("selection")
        from_stdin = selection is not None and selection.file == "-"
        command(*args, manner=Manner(**own, from_stdin=from_stdin), **given)

    for option in reversed(_OPTIONS):
        acting = option(acting)
    return acting


_OPTIONS = (
    click.option("--dry-run", is_flag=True, help="Show what follows; change nothing."),
    click.option("--yes", "-y", is_flag=True, help="Don't ask where it is more than one thing."),
    click.option(
        "--reason",
        default="",
        metavar="TEXT",
        help="Why; goes into the audit log, and into the history of new runs. Needed for more than one thing.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Write JSON."),
)


def carry_out(services: Services, act: Act, manner: Manner, *, ask: str = "") -> None:
    """Show an act and what follows; do it, unless that was all; exit code 7 where some of it could not be done.

    Args:
        ask: what one thing would cost that nobody may have meant, and how to ask for less; then a yes is needed too.

    Raises:
        UsageError: where nothing can be done, or a reason or an answer is missing; nothing was changed then.
    """
    from neuroflow.cli.act_output import look_ahead, outcome_data, preview_data, write_outcome, write_preview
    from neuroflow.cli.output import write_json
    from neuroflow.orchestrator.acts import Hand, perform

    _refuse_nothing(act)
    bulk = len(act.targets) > 1
    reason = manner.reason.strip()
    if bulk and not (reason or manner.dry_run):
        _refuse_without_reason(act)
    ahead = look_ahead(services, act)
    data = {"schema": 1, "dry_run": manner.dry_run, **preview_data(services, act, ahead)} if manner.as_json else {}
    if manner.dry_run and manner.as_json:
        write_json(data)
    elif manner.dry_run:
        write_preview(services, act, ahead)
        click.echo("nothing was changed (--dry-run)")
    if manner.dry_run:
        return
    if (bulk or ask) and not manner.yes:
        write_preview(services, act, ahead, err=True)
        _ask(act, manner, about=ask)
    outcome = perform(services, act, Hand(actor(), reason or f"{_DONE[act.verb]} by {actor()}"))
    if manner.as_json:
        write_json({**data, **outcome_data(outcome)})
    else:
        write_outcome(services, act, outcome, ahead, done=_DONE[act.verb])
    if outcome.errors:
        raise click.exceptions.Exit(7)


def _refuse_nothing(act: Act) -> None:
    """Raise UsageError where nothing can be done to what was named; what is so already is no error in a bulk act."""
    from neuroflow.errors import UsageError
    from neuroflow.orchestrator.acts import Verb

    if act.targets or not act.skipped:
        return
    # Running a thing again, or cancelling it, is asked for of one that is there to be; the others name how it shall be.
    expects_change = act.verb in (Verb.RERUN, Verb.CANCEL) and len(act.skipped) == 1
    if all(item.done for item in act.skipped) and not expects_change:
        return
    more = f", and {len(act.skipped) - 1} others" if len(act.skipped) > 1 else ""
    first = act.skipped[0]
    raise UsageError(
        f"{first.name} {first.why}{more}", hint="`neuroflow why` tells how a subject, a session or a run stands"
    )


def _refuse_without_reason(act: Act) -> None:
    from neuroflow.errors import UsageError

    raise UsageError(
        f"this is about {_counted(act)}, and needs a reason for the audit log; nothing was changed",
        hint='add --reason "why", and --dry-run to see first what follows',
    )


def _ask(act: Act, manner: Manner, *, about: str) -> None:
    """Ask at the terminal.

    Raises:
        UsageError: where nobody can be asked.
        Exit: where the answer is no.
    """
    import sys

    from neuroflow.errors import UsageError

    if manner.from_stdin or not sys.stdin.isatty():
        raise UsageError(
            f"this would {act.verb} {_counted(act)}{about}; nothing was changed, because nobody can be asked here",
            hint="look at it with --dry-run, then add --yes"
            + (", or name where to start with --pipeline" if about else ""),
        )
    if not click.confirm(f"{act.verb} {_counted(act)}{about}?", err=True):
        click.echo("nothing was changed", err=True)
        raise click.exceptions.Exit(1)


def _counted(act: Act) -> str:
    return counted(len(act.targets), act.noun)
