"""`neuroflow runs retry`, `cancel` and `priority`: change runs, one or many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from neuroflow.cli.acting import Manner, act_options, carry_out
from neuroflow.cli.arguments import examples
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.selection import Selection, selection_options

if TYPE_CHECKING:
    from collections.abc import Collection

    from neuroflow.domain import RunRecord, RunStatus
    from neuroflow.orchestrator.services import Services

_run_ids = click.argument("run_ids", metavar="[ID]...", type=int, nargs=-1)


@click.command(
    "retry",
    epilog=examples(
        'neuroflow runs retry 12 --reason "node repaired"',
        "neuroflow runs retry --pipeline qsiprep --class out_of_memory --since 7d --dry-run",
        'neuroflow runs retry --file list.tsv --status failed --reason "new image" --yes',
    ),
)
@_run_ids
@selection_options
@act_options
@pass_app
def retry(app: AppContext, run_ids: tuple[int, ...], selection: Selection, manner: Manner) -> None:
    """Run ended runs again, each as a new run; what depends on them follows.

    A run that waits for its next attempt makes it now. By their ids, or by filters: then those that failed, unless
    --status says otherwise.
    """
    from neuroflow.domain import ENDED_RUN_STATUSES, RunStatus
    from neuroflow.orchestrator.picking import retrying

    services = app.services()
    runs = _picked(
        services,
        run_ids,
        selection,
        statuses=frozenset({RunStatus.FAILED}),
        allowed=ENDED_RUN_STATUSES | {RunStatus.RETRY_WAIT},
        verb="retry",
    )
    carry_out(services, retrying(services, runs), manner)


@click.command(
    "cancel",
    epilog=examples(
        'neuroflow runs cancel 12 --reason "wrong session"',
        "neuroflow runs cancel --pipeline qsirecon --status submitted --dry-run",
        'neuroflow runs cancel --subject sub-01 --reason "withdrawn" --yes',
    ),
)
@_run_ids
@selection_options
@act_options
@pass_app
def cancel(app: AppContext, run_ids: tuple[int, ...], selection: Selection, manner: Manner) -> None:
    """Cancel open runs and their jobs.

    By their ids, or by filters: then all that are open, unless --status says otherwise.
    """
    from neuroflow.domain import OPEN_RUN_STATUSES
    from neuroflow.orchestrator.picking import cancelling

    services = app.services()
    runs = _picked(services, run_ids, selection, statuses=OPEN_RUN_STATUSES, allowed=OPEN_RUN_STATUSES, verb="cancel")
    carry_out(services, cancelling(runs), manner)


def _priority(value: str) -> int:
    from neuroflow.domain.priority import LARGEST_PRIORITY, PRIORITY_WORDS

    if value in PRIORITY_WORDS:
        return PRIORITY_WORDS[value]
    try:
        number = int(value)
    except ValueError:
        number = LARGEST_PRIORITY + 1
    if abs(number) > LARGEST_PRIORITY:
        words = ", ".join(PRIORITY_WORDS)
        raise click.BadParameter(
            f"{value!r} is none of: {words}, or a whole number from -{LARGEST_PRIORITY} to {LARGEST_PRIORITY}"
        )
    return number


@click.command(
    "priority",
    epilog=examples(
        "neuroflow runs priority 12 --set high",
        'neuroflow runs priority --subject sub-01 --set high --reason "visit on Friday"',
        'neuroflow runs priority --pipeline qsiprep --set low --reason "others first" --yes',
    ),
)
@_run_ids
@click.option(
    "--set",
    "priority",
    required=True,
    type=_priority,
    metavar="high|normal|low",
    help="Or a whole number, 0 being normal: runs with a higher one start first.",
)
@selection_options
@act_options
@pass_app
def priority_command(
    app: AppContext, run_ids: tuple[int, ...], priority: int, selection: Selection, manner: Manner
) -> None:
    """Have open runs start before others, or after them.

    With --subject and nothing else, or with a list of subjects alone, for all of the subject's runs, those to come
    included. A job that is with the cluster already keeps its place there.
    """
    from neuroflow.domain import OPEN_RUN_STATUSES
    from neuroflow.orchestrator.picking import prioritising, prioritising_subjects

    services = app.services()
    labels = () if run_ids else _whole_subjects(selection)
    if labels:
        if selection.lines:
            from neuroflow.cli.selection import look_up

            subjects, _ = look_up(services, selection)
        else:
            subjects = [services.state.get_subject(label) for label in labels]
        carry_out(services, prioritising_subjects(subjects, priority), manner)
        return
    runs = _picked(services, run_ids, selection, statuses=OPEN_RUN_STATUSES, allowed=OPEN_RUN_STATUSES, verb="priority")
    carry_out(services, prioritising(runs, priority), manner)


def _whole_subjects(selection: Selection) -> tuple[str, ...]:
    """Return the subjects that are meant as a whole: nothing else was said than which."""
    if selection.of_runs or selection.pipeline or selection.sessions:
        return ()
    if selection.lines:
        named = tuple(line.subject for line in selection.lines if line.session is None)
        return named if len(named) == len(selection.lines) and not selection.subjects else ()
    return tuple(dict.fromkeys(selection.subjects))


def _picked(
    services: Services,
    run_ids: tuple[int, ...],
    selection: Selection,
    *,
    statuses: frozenset[RunStatus],
    allowed: Collection[RunStatus],
    verb: str,
) -> list[RunRecord]:
    """Return the runs that were named, or that match; says so where none does.

    Raises:
        UsageError: where nothing was named, or both ids and filters were, or a status does not fit.
    """
    from neuroflow.errors import UsageError
    from neuroflow.orchestrator.picking import find_runs

    if run_ids and not (selection.is_empty):
        raise UsageError("give either ids of runs, or filters; not both")
    if run_ids:
        return find_runs(services, run_ids)
    if selection.is_empty:
        raise UsageError(
            f"`runs {verb}` needs ids of runs, or a filter that says which are meant",
            hint=f"neuroflow runs {verb} 12 15, or --pipeline, --status, --class, --subject, --file",
        )
    unfit = [str(status) for status in selection.statuses if status not in allowed]
    if unfit:
        raise UsageError(
            f"--status {', '.join(unfit)}: `runs {verb}` is for those that are {', '.join(sorted(allowed))}"
        )
    runs = services.state.select_runs(selection.run_filter(services, statuses=statuses))
    if not runs:
        states = ", ".join(sorted(selection.statuses or statuses))
        click.echo(f"nothing to do: no run matches that is {states} and has not been followed by another", err=True)
    return runs
