"""`neuroflow demo`: the whole way on made-up data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from neuroflow.cli.arguments import examples

if TYPE_CHECKING:
    from collections.abc import Sequence


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
        missing = missing_packages(_requirements()) or [str(error.name)]
        raise NeuroflowError(
            f"the demo needs packages that are not installed: {', '.join(missing)}",
            hint="in the checkout: pip install '.[demo]'",
        ) from error
    raise click.exceptions.Exit(run_demo(folder))


def missing_packages(requirements: Sequence[str]) -> list[str]:
    """Return the packages of the extra `demo` that are not installed, of a distribution's requirements."""
    import re

    # Such as `numpy>=1.26; extra == 'demo'`: https://packaging.python.org/en/latest/specifications/core-metadata/
    ours = [line for line in requirements if re.search(r"extra == ['\"]demo['\"]", line)]
    names = [re.split(r"[^\w.-]", line)[0] for line in ours]
    return sorted(name for name in names if not _is_installed(name))


def _requirements() -> list[str]:
    from importlib import metadata

    try:
        return metadata.requires("neuroflow") or []
    except metadata.PackageNotFoundError:  # run from its source, without an installation
        return []


def _is_installed(name: str) -> bool:
    from importlib import metadata

    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True
