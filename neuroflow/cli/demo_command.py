"""`neuroflow demo`: the whole way on made-up data."""

from __future__ import annotations

from pathlib import Path

import click

from neuroflow.cli.arguments import examples


@click.command("demo", epilog=examples("neuroflow demo", "neuroflow demo --folder /tmp/neuroflow-demo"))
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo-data"),
    show_default=True,
    help="Where data, results and configuration go.",
)
def demo_command(folder: Path) -> None:
    """Run every pipeline on made-up DICOM data, on this machine, without containers."""
    try:
        from neuroflow.demo.command import run_demo
    except ModuleNotFoundError as error:
        from neuroflow.errors import NeuroflowError

        if (error.name or "").startswith("neuroflow"):
            raise
        raise NeuroflowError(
            f"the demo needs the package '{error.name}'", hint="pip install 'neuroflow[demo]'"
        ) from error
    raise click.exceptions.Exit(run_demo(folder))
