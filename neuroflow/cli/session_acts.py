"""`neuroflow session rerun`, `exclude` and `include`: change sessions, one or many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from neuroflow.cli.acting import Manner, act_options, carry_out
from neuroflow.cli.arguments import SESSION, SUBJECT, examples, find_session
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.selection import Selection, look_up, selection_options

if TYPE_CHECKING:
    from neuroflow.domain import SessionRecord
    from neuroflow.orchestrator.acts import Act
    from neuroflow.orchestrator.services import Services

_subject = click.argument("subject", metavar="[SUBJECT", type=SUBJECT, required=False)
_session = click.argument("session", metavar="SESSION]", type=SESSION, required=False)
cancel_running_option = click.option(
    "--cancel-running", is_flag=True, help="Cancel what is open first; the new run starts once its job has ended."
)


@click.command(
    "rerun",
    epilog=examples(
        'neuroflow session rerun 01 baseline --pipeline qsiprep --reason "new image"',
        "neuroflow session rerun 01 baseline --dry-run",
        'neuroflow session rerun --file list.tsv --reason "exported again" --yes',
    ),
)
@_subject
@_session
@cancel_running_option
@selection_options
@act_options
@pass_app
def rerun(
    app: AppContext,
    subject: str | None,
    session: str | None,
    cancel_running: bool,
    selection: Selection,
    manner: Manner,
) -> None:
    """Run sessions again; what depends on them follows.

    From --pipeline on; without it from what failed, or else from the conversion on. Sessions are named, listed in a
    file, or chosen by how their present runs stand.
    """
    from neuroflow.orchestrator.picking import rerunning_sessions

    services = app.services()
    if selection.pipeline is not None:
        services.registry.get(selection.pipeline)
    sessions = _picked(services, subject, session, selection, verb="rerun")
    act = rerunning_sessions(services, sessions, pipeline=selection.pipeline, stop=cancel_running)
    carry_out(services, act, manner, ask=_everything(act) if selection.pipeline is None else "")


def _everything(act: Act) -> str:
    """Say that sessions would be made anew although nothing of them failed."""
    from neuroflow.domain import RunStatus

    anew = [target for target in act.targets if any(run.status is RunStatus.COMPLETED for run in target.runs)]
    if not anew:
        return ""
    which = "" if len(act.targets) == 1 else f" ({len(anew)} of them)"
    return f"{which} from the conversion on, with the subject's later results, although nothing of it failed"


@click.command(
    "exclude",
    epilog=examples(
        'neuroflow session exclude 01 baseline --reason "moved too much"',
        'neuroflow session exclude --file list.tsv --reason "failed quality control" --dry-run',
    ),
)
@_subject
@_session
@selection_options
@act_options
@pass_app
def exclude(app: AppContext, subject: str | None, session: str | None, selection: Selection, manner: Manner) -> None:
    """Take sessions out; runs that are under way go on, and results that exist stay."""
    _set_excluded(app.services(), subject, session, selection, manner, excluded=True)


@click.command(
    "include",
    epilog=examples(
        "neuroflow session include 01 baseline", 'neuroflow session include --file list.tsv --reason "checked" --yes'
    ),
)
@_subject
@_session
@selection_options
@act_options
@pass_app
def include(app: AppContext, subject: str | None, session: str | None, selection: Selection, manner: Manner) -> None:
    """Take excluded sessions back in; the next scan decides how they stand."""
    _set_excluded(app.services(), subject, session, selection, manner, excluded=False)


def _set_excluded(
    services: Services,
    subject: str | None,
    session: str | None,
    selection: Selection,
    manner: Manner,
    *,
    excluded: bool,
) -> None:
    from neuroflow.orchestrator.picking import excluding

    sessions = _picked(services, subject, session, selection, verb="exclude" if excluded else "include")
    carry_out(services, excluding(sessions, excluded=excluded), manner)


def _picked(
    services: Services, subject: str | None, session: str | None, selection: Selection, *, verb: str
) -> list[SessionRecord]:
    """Return the sessions that were named, listed, or that match; says so where none does.

    Raises:
        UsageError: where nothing was named, half of it, or two things at once.
    """
    from neuroflow.errors import UsageError
    from neuroflow.orchestrator.picking import sessions_of

    chosen = bool(selection.of_runs or selection.subjects or selection.sessions or selection.file)
    if subject is not None:
        if session is None or chosen:
            raise UsageError(
                "name one subject and one session, or leave both out and give filters",
                hint=f"neuroflow session {verb} 01 baseline, or neuroflow session {verb} --subject 01",
            )
        return [find_session(services, subject, session)]
    if not chosen and (selection.pipeline is None or verb != "rerun"):
        raise UsageError(
            f"`session {verb}` needs a subject and a session, or a filter that says which are meant",
            hint=f"neuroflow session {verb} 01 baseline, or --file, --subject, --status, --class",
        )
    if selection.of_runs or selection.pipeline:
        found = sessions_of(services, selection.run_filter(services, statuses=frozenset()))
    elif selection.file is not None:
        whole, found = look_up(services, selection)
        if whole:
            found += services.state.select_sessions(subjects=[one.label for one in whole])
        found = [one for one in found if _is_meant(one, selection)]
    else:
        for label in selection.subjects:
            services.state.get_subject(label)
        found = services.state.select_sessions(subjects=selection.subjects, sessions=selection.sessions)
    if not found:
        click.echo("nothing to do: no session matches", err=True)
    return list({one.id: one for one in found}.values())


def _is_meant(session: SessionRecord, selection: Selection) -> bool:
    return (not selection.subjects or session.subject in selection.subjects) and (
        not selection.sessions or session.label in selection.sessions
    )
