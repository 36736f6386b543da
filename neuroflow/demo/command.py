"""Run the demo cohort through the workflow, and show what came out."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table

from neuroflow.config import NeuroflowConfig
from neuroflow.demo.cohort import ATLAS, DemoFolder, prepare
from neuroflow.demo.phantom import Phantom
from neuroflow.demo.picture import fa_picture, terminal_picture
from neuroflow.demo.table import region_table
from neuroflow.domain import OPEN_RUN_STATUSES, RunStatus
from neuroflow.errors import NeuroflowError, NotFoundError
from neuroflow.log import configure
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.steps import InlineDispatcher
from neuroflow.orchestrator.workflow import WorkflowScheduler

PICTURE = "fa.png"


def run_demo(root: Path, *, console: Console | None = None) -> int:
    """Generate the cohort, carry it through, show status, picture and table; return the exit code."""
    console = console or Console()
    folder = DemoFolder(root.resolve())
    prepare(folder, console)
    config = NeuroflowConfig.find_and_load(folder.config)
    services = Services.from_config(config, check_schema=False)
    services.database.upgrade()
    configure(
        config.logging.model_copy(update={"level": "ERROR", "file": config.logs_dir / "demo.log"}), service="demo"
    )
    before = {run.id for run in services.state.list_runs()}
    _carry_through(services, console)
    runs = services.state.list_runs()
    if {run.id for run in runs} == before:
        console.print("[green]Everything is up to date; nothing was run.[/green]")
    show_status(folder)
    failed = [run for run in runs if run.status is RunStatus.FAILED and not run.superseded]
    if failed:
        for run in failed:
            console.print(f"[red]failed:[/red] {run.pipeline} of {run.scope}: {run.reason}", markup=True)
        console.print(f"its log: neuroflow --config {folder.config} logs {failed[0].id}", soft_wrap=True)
        return 1
    show_results(folder, config, console)
    return 0


def _carry_through(services: Services, console: Console) -> None:
    with Live(progress_table(services), console=console, refresh_per_second=4) as live:
        scheduler = WorkflowScheduler(
            services, InlineDispatcher(services), progress=lambda: live.update(progress_table(services))
        )
        result = scheduler.run_workflow(sync=True)
        live.update(progress_table(services))
    if not console.is_terminal:
        console.print()  # Live ends its last table without a line break there
    if result.error:
        raise NeuroflowError(result.error)


def progress_table(services: Services) -> Table:
    """Draw how many runs of each pipeline are done, at work and waiting."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in services.registry.names()}
    for run in services.state.list_runs():
        if run.status is RunStatus.COMPLETED:
            counts[run.pipeline]["done"] += 1
        elif run.status in OPEN_RUN_STATUSES:
            counts[run.pipeline]["waiting" if run.status is RunStatus.PENDING else "at work"] += 1
        else:
            counts[run.pipeline][str(run.status)] += 1
    table = Table(title="workflow", title_justify="left")
    table.add_column("pipeline")
    columns = ("done", "at work", "waiting", "failed")
    for column in columns:
        table.add_column(column, justify="right")
    for name, count in counts.items():
        table.add_row(name, *(str(count[column] or "·") for column in columns))
    return table


def show_status(folder: DemoFolder) -> None:
    """Print `neuroflow status`."""
    from neuroflow.cli.main import cli

    cli.main(args=["--config", str(folder.config), "status"], prog_name="neuroflow", standalone_mode=False)


def show_results(folder: DemoFolder, config: NeuroflowConfig, console: Console) -> None:
    """Write the picture of one session, show it, and print the table of all of them beside the truth.

    Raises:
        NotFoundError: when a map is missing.
    """
    truth = Phantom.default().truth()
    names = {label: region.name for label, region in truth.items()}
    fa, atlas = _maps(config)
    picture = folder.root / PICTURE
    fa_picture(fa, atlas, picture, title="Fractional anisotropy and the parcellation, sub-01 ses-01", names=names)
    console.print(terminal_picture(fa, atlas, names=names))
    tables = sorted((config.paths.derivatives_root / "qsiparc").rglob("*_diffmap.tsv"))
    console.print(region_table(tables, truth))
    console.print(f"picture: {picture}", soft_wrap=True)
    console.print(f"region tables: {config.paths.derivatives_root / 'qsiparc'}", soft_wrap=True)
    console.print(f"look further: {_program()} --config {shlex.quote(str(folder.config))} status", soft_wrap=True)


def _program() -> str:
    """Return what a person types for neuroflow here: its name, or the way to it where it is not on the PATH."""
    named = sys.argv[0]
    return named if Path(named).name == "neuroflow" and shutil.which("neuroflow") is None else "neuroflow"


def _maps(config: NeuroflowConfig) -> tuple[Path, Path]:
    root = config.paths.derivatives_root / "qsirecon"
    return (
        _first(root, "derivatives/*/sub-01/ses-01/dwi/*param-[fF][aA]_*dwimap.nii.gz"),
        _first(root, f"sub-01/ses-01/dwi/*_seg-{ATLAS}_*dseg.nii.gz"),
    )


def _first(root: Path, pattern: str) -> Path:
    found = sorted(root.glob(pattern))
    if not found:
        raise NotFoundError(f"no file matches {root / pattern}")
    return found[0]
