"""`neuroflow subject rerun`: run whole subjects again from one pipeline on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from neuroflow.cli.acting import Manner, act_options, carry_out
from neuroflow.cli.arguments import SUBJECT, examples
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.selection import Selection, look_up, read_list
from neuroflow.cli.session_acts import cancel_running_option

if TYPE_CHECKING:
    from neuroflow.cli.selection_file import Line
    from neuroflow.domain import SubjectRecord
    from neuroflow.orchestrator.services import Services


@click.command(
    "rerun",
    epilog=examples(
        'neuroflow subject rerun sub-01 --from qsiprep --reason "new field map"',
        "neuroflow subject rerun sub-01 --from qsiprep --dry-run",
        'neuroflow subject rerun --file participants.tsv --from qsirecon --reason "new atlas" --yes',
    ),
)
@click.argument("subjects", metavar="[SUBJECT]...", type=SUBJECT, nargs=-1)
@click.option("--from", "pipeline", metavar="PIPELINE", required=True, help="This one, and whatever comes after it.")
@click.option("--file", "file", metavar="PATH", help="A list of subjects, or a participants.tsv; - for standard input.")
@cancel_running_option
@act_options
@pass_app
def rerun(
    app: AppContext,
    subjects: tuple[str, ...],
    pipeline: str,
    file: str | None,
    cancel_running: bool,
    manner: Manner,
) -> None:
    """Run subjects again from a pipeline on, with all their sessions."""
    from dataclasses import replace

    from neuroflow.orchestrator.picking import rerunning_subjects

    services = app.services()
    services.registry.get(pipeline)
    found = _picked(services, subjects, file)
    manner = replace(manner, from_stdin=file == "-")
    carry_out(services, rerunning_subjects(services, found, pipeline=pipeline, stop=cancel_running), manner)


def _picked(services: Services, labels: tuple[str, ...], file: str | None) -> list[SubjectRecord]:
    from neuroflow.errors import UsageError

    if bool(labels) == (file is not None):
        raise UsageError(
            "name subjects, or give a list of them by --file", hint="neuroflow subject rerun sub-01 --from qsiprep"
        )
    if file is None:
        return [services.state.get_subject(label) for label in dict.fromkeys(labels)]
    return look_up(services, Selection(file=file, parsed=read_list(file)), unfit=_names_a_session)[0]


def _names_a_session(line: Line) -> str:
    return f"it names session '{line.session}', and whole subjects are run again" if line.session is not None else ""
