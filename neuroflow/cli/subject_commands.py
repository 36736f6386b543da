"""`neuroflow subject`: look at subjects; what changes them is in `subject_acts`."""

from __future__ import annotations

import click

from neuroflow.cli.arguments import SUBJECT, examples, json_option
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.output import counted, write_json, write_table
from neuroflow.cli.run_table import write_runs
from neuroflow.cli.session_commands import write_sessions
from neuroflow.cli.subject_acts import rerun


@click.group("subject", epilog=examples("neuroflow subject list", "neuroflow subject show 01"))
def subject_group() -> None:
    """Look at subjects, run them again."""


@subject_group.command("list", epilog=examples("neuroflow subject list --json"))
@click.option(
    "--limit", type=click.IntRange(min=1), help="How many, by label  [default: 50 on a terminal, all elsewhere]."
)
@json_option
@pass_app
def list_command(app: AppContext, limit: int | None, as_json: bool) -> None:
    """List subjects, and how their sessions stand."""
    from neuroflow.cli.lists import limit_for_people, tell_of_more, write_json_rows
    from neuroflow.domain import SessionStatus

    state = app.services().state
    most = limit_for_people(limit, as_json=as_json)
    counts, subjects = state.count_sessions(), state.list_subjects()
    rows = [
        {"subject": subject.label}
        | {str(status): counts.get(subject.label, {}).get(status, 0) for status in SessionStatus}
        for subject in subjects[:most]
    ]
    if as_json:
        write_json_rows("subjects", rows)
        return
    columns = ("subject", *map(str, SessionStatus))
    write_table(columns, [list(row.values()) for row in rows], empty="no subjects: run `neuroflow scan`")
    if len(rows) < len(subjects):
        tell_of_more(
            f"the first {len(rows):,} of {counted(len(subjects), 'subject')}",
            how=f"--limit {len(subjects)} shows all",
        )


@subject_group.command("show", epilog=examples("neuroflow subject show sub-01"))
@click.argument("subject", type=SUBJECT)
@json_option
@pass_app
def show(app: AppContext, subject: str, as_json: bool) -> None:
    """Show a subject's sessions and runs."""
    state = app.services().state
    record = state.get_subject(subject)
    sessions = state.list_sessions(subject=record.label)
    runs = state.list_runs(subject=record.label)
    if as_json:
        write_json({"schema": 1, "subject": record, "sessions": sessions, "runs": runs})
        return
    click.echo(f"sub-{record.label}")
    write_sessions(sessions)
    write_runs(state, runs)


subject_group.add_command(rerun)
