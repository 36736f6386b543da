"""The `neuroflow` command: its options and its commands."""

from __future__ import annotations

import os
from pathlib import Path

import click

from neuroflow.cli.arguments import examples
from neuroflow.cli.cleanup_command import cleanup_command
from neuroflow.cli.completion_command import VARIABLE, completion_command
from neuroflow.cli.config_commands import config_group
from neuroflow.cli.container_commands import containers_group
from neuroflow.cli.context import AppContext
from neuroflow.cli.db_commands import db_group
from neuroflow.cli.demo_command import demo_command
from neuroflow.cli.doctor_command import doctor_command
from neuroflow.cli.export_commands import export_group
from neuroflow.cli.init_command import init_command
from neuroflow.cli.log_commands import logs_command
from neuroflow.cli.metrics_commands import metrics_group
from neuroflow.cli.notify_commands import notify_group
from neuroflow.cli.output import never_fail_to_write
from neuroflow.cli.pipeline_commands import pipeline_group
from neuroflow.cli.program import NeuroflowGroup
from neuroflow.cli.provenance_command import provenance_command
from neuroflow.cli.recovery_commands import recovery_group
from neuroflow.cli.report_command import report_command
from neuroflow.cli.resources_command import resources_command
from neuroflow.cli.run_commands import runs_group
from neuroflow.cli.scan_command import scan_command
from neuroflow.cli.services_commands import services_group
from neuroflow.cli.session_commands import session_group
from neuroflow.cli.status_command import status_command
from neuroflow.cli.subject_commands import subject_group
from neuroflow.cli.tick_command import tick_command
from neuroflow.cli.up_command import up_command
from neuroflow.cli.why_command import why_command
from neuroflow.cli.worker_commands import run_group
from neuroflow.cli.workflow_commands import workflow_group


def _show_version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if not value or context.resilient_parsing:
        return
    import neuroflow

    click.echo(f"neuroflow {neuroflow.__version__}")
    context.exit()


@click.group(
    "neuroflow",
    cls=NeuroflowGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "neuroflow init study              # write a configuration",
        "neuroflow demo                    # try everything on made-up data",
        "neuroflow doctor                  # what is wrong with this site, and what mends it",
        "neuroflow up                      # run unattended",
        "neuroflow status                  # what is done, what waits, and why",
        "neuroflow why sub-01              # why a subject stands as it does, and what comes next",
    ),
)
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The configuration file; otherwise NEUROFLOW_CONFIG, or neuroflow.yaml here.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error; may stand after the command.")
@click.option("--verbose", "-v", is_flag=True, help="Log to standard error at logging.level, not only warnings.")
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_show_version, help="Show it.")
@click.pass_context
def cli(context: click.Context, config_path: Path | None, debug: bool, verbose: bool) -> None:
    """Take diffusion MRI from the scanner's DICOM folders to region tables, unattended."""
    app = AppContext(config_path, debug=debug, verbose=verbose)
    context.obj = app
    context.call_on_close(app.close)
    if context.invoked_subcommand is None:
        from neuroflow.cli.greeting import greet

        greet(context, app)


runs_group.add_command(provenance_command)

for _command in (
    cleanup_command,
    completion_command,
    config_group,
    containers_group,
    db_group,
    demo_command,
    doctor_command,
    export_group,
    init_command,
    logs_command,
    metrics_group,
    notify_group,
    pipeline_group,
    recovery_group,
    report_command,
    resources_command,
    run_group,
    runs_group,
    scan_command,
    services_group,
    session_group,
    status_command,
    subject_group,
    tick_command,
    up_command,
    why_command,
    workflow_group,
):
    cli.add_command(_command)


def main() -> None:
    """Run the command line; the entry point of the `neuroflow` script."""
    never_fail_to_write()
    if VARIABLE in os.environ:
        from neuroflow.cli.completions import complete

        complete(cli, VARIABLE)
    cli(prog_name="neuroflow")


if __name__ == "__main__":
    main()
