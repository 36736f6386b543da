"""`neuroflow runs provenance`: where a run's results come from."""

from __future__ import annotations

import click

from neuroflow.cli.arguments import examples
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.output import escaped


@click.command(
    "provenance",
    epilog=examples("neuroflow runs provenance 12", "neuroflow runs provenance 12 --write"),
)
@click.argument("run_id", metavar="ID", type=int)
@click.option("--write", is_flag=True, help="Write it into the dataset, where its job could not, or anew.")
@pass_app
def provenance_command(app: AppContext, run_id: int, write: bool) -> None:
    """Show where a run's results come from, as JSON: inputs, command, image, versions, job, attempts.

    docs/provenance.md explains it. What lies in the dataset was written by the job; what is shown here has the verdicts
    and SLURM's accounting of each attempt as well, and so has what --write writes.
    """
    import json

    from neuroflow.cli.log_text import say
    from neuroflow.errors import NeuroflowError
    from neuroflow.views.provenance import provenance_of, write_provenance

    services = app.services()
    if not write:
        found = provenance_of(services, run_id)
        click.echo(json.dumps(found.document, indent=2, default=str))
        say(f"from {found.found_in}" if found.found_in else f"put together now; not there: {found.belongs_in}")
    else:
        try:
            found = write_provenance(services, run_id)
        except (OSError, ValueError) as error:
            raise NeuroflowError(
                f"the provenance of run {run_id} can't be written: {error}", hint="is the dataset writable?"
            ) from error
        click.echo(f"wrote {escaped(found.belongs_in)}")
    for problem in found.problems:
        say(problem)
