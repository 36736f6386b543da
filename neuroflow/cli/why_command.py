"""`neuroflow why`: why a subject, session or run stands as it does, and what comes next."""

from __future__ import annotations

import click

from neuroflow.cli.arguments import examples, json_option
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.output import write_json

SCHEMA = 1


@click.command(
    "why",
    epilog=examples(
        "neuroflow why sub-01                      # every session and pipeline of a subject",
        "neuroflow why sub-01 ses-baseline",
        "neuroflow why sub-01 ses-baseline qsirecon",
        "neuroflow why --run 12                    # or `neuroflow why 12`, where no subject is called so",
    ),
)
@click.argument("words", metavar="SUBJECT [SESSION] [PIPELINE]", nargs=-1)
@click.option(
    "--run", "run_id", type=click.IntRange(min=1), metavar="ID", help="The subject, session and pipeline of a run."
)
@click.option("--no-slurm", is_flag=True, help="Ask SLURM nothing: tell what the last poll saw.")
@json_option
@pass_app
def why_command(app: AppContext, words: tuple[str, ...], run_id: int | None, no_slurm: bool, as_json: bool) -> None:
    """Tell why a subject or session stands as it does: what it waits for, how it failed, what comes next.

    Everything is read, nothing is changed. SLURM is asked once, and only for jobs that wait in its queue.
    """
    from dataclasses import replace

    from neuroflow.cli.why_output import write_why
    from neuroflow.cli.why_question import read_question
    from neuroflow.views.status_services import services_run
    from neuroflow.views.why import why

    services = app.services()
    up = services_run(services.config.paths.state_dir, now=services.clock())
    question = replace(read_question(services, words, run_id=run_id), ask_slurm=not no_slurm, up=up)
    answer = why(services, question)
    if as_json:
        write_json({"schema": SCHEMA, **vars(answer)})
        return
    write_why(answer)
