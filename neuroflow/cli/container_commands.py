"""`neuroflow containers`: see the images, fetch them, check them."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from neuroflow.cli.arguments import actor, examples, json_option
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.output import escaped, one_line, plain_data, when, write_json, write_table, write_values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from neuroflow.config import NeuroflowConfig
    from neuroflow.orchestrator.image_pull import Pull
    from neuroflow.orchestrator.image_verify import ImageCheck
    from neuroflow.orchestrator.registry import Pipeline, Registry
    from neuroflow.orchestrator.services import Services

_SHORT = 13
_LARGE_BYTES = 500_000_000


@click.group("containers", epilog=examples("neuroflow containers list", "neuroflow containers verify qsiprep"))
def containers_group() -> None:
    """See the pipelines' images, fetch them, and check that they are what they should be."""


@containers_group.command("list", epilog=examples("neuroflow containers list", "neuroflow containers list --json"))
@json_option
@pass_app
def list_command(app: AppContext, as_json: bool) -> None:
    """List each pipeline's image: version, id, digest, and whether it has changed; nothing large is read."""
    from neuroflow.orchestrator.image_report import image_report

    services = app.services(check_files=False)
    uses = services.state.attempts_by_image()
    reports = [image_report(services, pipeline, uses=uses) for pipeline in services.registry]
    if as_json:
        write_json({"schema": 1, "images": reports})
        return
    rows = [
        (
            report.pipeline,
            report.runtime,
            report.version,
            "present" if report.present else "none" if report.runtime == "host" else "MISSING",
            _size(report.size),
            report.image_id.removeprefix("sha256:")[:_SHORT],
            report.digest.removeprefix("sha256:")[:_SHORT],
            report.attempts or None,
            report.image,
        )
        for report in reports
    ]
    columns = ("pipeline", "runtime", "version", "image is", "size", "id", "digest", "attempts", "image")
    write_table(columns, rows, empty="no pipelines")
    for report in reports:
        if report.changed:
            click.echo(f"{report.pipeline}: ANOTHER IMAGE since {when(report.changed_since)} (containers verify)")
        if report.tool_version and report.version not in (None, report.tool_version):
            click.echo(f"{report.pipeline}: the tool itself says that it is version {report.tool_version}")
        if report.problem:
            click.echo(f"{report.pipeline}: {one_line(report.problem)}")


@containers_group.command(
    "pull",
    epilog=examples(
        "neuroflow containers pull --dry-run",
        "neuroflow containers pull qsiprep qsirecon --tmp /local/scratch",
        "neuroflow containers pull qsiparc --source ./qsiparc.def",
    ),
)
@click.argument("pipelines", nargs=-1, metavar="[PIPELINE]...")
@click.option("--source", metavar="SOURCE", help="Instead of the known release: docker://..., a .def, oci-archive:...")
@click.option("--force", is_flag=True, help="Put it in the place of an image that is there.")
@click.option(
    "--tmp",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the runtime's cache and build files (tens of GB); default: `containers` in state_dir.",
)
@click.option("--dry-run", is_flag=True, help="Only show the commands.")
@pass_app
def pull(
    app: AppContext, pipelines: tuple[str, ...], source: str | None, force: bool, tmp: Path | None, dry_run: bool
) -> None:
    """Fetch or build the images that the configuration names, each whole or not at all; all, or some by name."""
    from neuroflow.errors import NeuroflowError, StateError, UsageError
    from neuroflow.orchestrator.image_pull import plan_pull
    from neuroflow.orchestrator.registry import get_registry

    config = app.config(check_files=False)
    chosen = _chosen(get_registry(config), pipelines, settings_only=True)
    if not chosen:
        raise UsageError("no pipeline has an image set", hint="see pipelines.X.image and `neuroflow containers list`")
    if source is not None and len(chosen) != 1:
        raise UsageError("--source names one image: name one pipeline too")
    plans = [plan_pull(config, pipeline, source=_source(source), tmp=tmp) for pipeline in chosen]
    if dry_run:
        for plan in plans:
            click.echo(plan.line)
        return
    failed: list[NeuroflowError] = []
    try:
        services = app.services(check_files=False)
    except StateError:  # images may come before the database
        services = None
    for pipeline, plan in zip(chosen, plans, strict=True):
        try:
            _pull_one(config, services, pipeline=pipeline, plan=plan, force=force)
        except NeuroflowError as error:
            from neuroflow.cli.program import show_error

            show_error(error, debug=app.debug)
            failed.append(error)
    if failed:
        raise click.exceptions.Exit(failed[0].exit_code)


def _pull_one(
    config: NeuroflowConfig, services: Services | None, *, pipeline: Pipeline, plan: Pull, force: bool
) -> None:
    from neuroflow.orchestrator.image_pull import run_pull
    from neuroflow.orchestrator.images import configured_image, see, with_digest

    attempts = services.state.open_attempts() if services is not None else []
    users = [attempt for attempt in attempts if attempt.image == str(plan.target)]

    def begin() -> None:
        click.echo(f"{plan.pipeline}: {escaped(plan.line)}", err=True)

    if not run_pull(plan, force=force, locks=config.paths.state_dir / "containers", begin=begin):
        used = f", and {len(users)} attempts use it now" if users else ""
        click.echo(f"{plan.pipeline}: {plan.target} is there already{used}; left as it is (--force replaces it)")
        return
    if services is None:
        click.echo(
            f"{plan.pipeline}: {plan.target or plan.source} is in place (`neuroflow containers verify` records it)"
        )
        return
    image, record = configured_image(services, pipeline), see(services, pipeline)
    if image is None or record is None:
        click.echo(f"{plan.pipeline}: {plan.target or plan.source} was made, but can't be read here")
        return
    with _progress(record.size) as progress:
        record = with_digest(services.state, image, record, progress=progress)
    services.state.accept_image(record.id, actor=actor())
    click.echo(f"{plan.pipeline}: {plan.target or plan.source} is in place")
    write_values({"  image id": record.identity, "  image_digest": record.digest, "  version": plan.version})


@containers_group.command(
    "verify", epilog=examples("neuroflow containers verify", "neuroflow containers verify qsiprep --accept")
)
@click.argument("pipelines", nargs=-1, metavar="[PIPELINE]...")
@click.option("--accept", is_flag=True, help="Take an image that has changed, and passes all else, as the right one.")
@json_option
@pass_app
def verify(app: AppContext, pipelines: tuple[str, ...], accept: bool, as_json: bool) -> None:
    """Check that images are whole, unchanged, and run the configured version; ends with 1 when one is not.

    Each image is read whole the first time, for its digest; a large one takes minutes then.
    """
    from neuroflow.orchestrator.image_verify import verify_image

    services = app.services(check_files=False)
    checks: list[ImageCheck] = []
    for pipeline in _chosen(services.registry, pipelines, settings_only=False):
        with _progress(None if as_json else _image_size(services, pipeline)) as progress:
            check = verify_image(services, pipeline, progress=progress)
        if accept and check.record is not None and all(problem.is_change for problem in check.problems):
            services.state.accept_image(check.record.id, actor=actor())
            check.problems.clear()
        checks.append(check)
    if as_json:
        write_json({"schema": 1, "images": plain_data(checks)})
    else:
        _show_checks(checks)
    if any(check.problems for check in checks):
        raise click.exceptions.Exit(1)


def _show_checks(checks: Sequence[ImageCheck]) -> None:
    for check in checks:
        if not check.problems:
            said = [f"version {check.version}" if check.version else "", check.signature]
            what = ", ".join(part for part in said if part) or "no image: it runs on the host"
            click.echo(f"ok    {check.pipeline}: {what}")
            if check.record is not None:
                write_values({"      image": check.image, "      digest": check.record.digest})
        for problem in check.problems:
            click.echo(f"WRONG {problem.pipeline}: {escaped(problem.what)}")
            click.echo(f"      {escaped(problem.hint)}")


def _chosen(registry: Registry, names: Sequence[str], *, settings_only: bool) -> list[Pipeline]:
    """Return the pipelines that are named, or else all that are enabled; for pull, those that have an image."""
    if names:
        return [registry.get(name) for name in dict.fromkeys(names)]
    return [
        pipeline
        for pipeline in registry
        if pipeline.enabled and (not settings_only or (pipeline.settings.image and pipeline.settings.runtime != "host"))
    ]


def _source(text: str | None) -> str | None:
    """Return a source as Apptainer takes it: a file by its full name, a URI as it is."""
    from neuroflow.errors import UsageError

    if text is None or ":" in text.partition("/")[0]:
        return text
    path = Path(text).expanduser().absolute()
    if not path.exists():
        raise UsageError(
            f"--source: the file '{path}' does not exist",
            hint="an image in a registry needs its scheme, such as docker://pennlinc/qsiprep:26.0.0",
        )
    return str(path)


def _image_size(services: Services, pipeline: Pipeline) -> int | None:
    from neuroflow.orchestrator.images import see

    record = see(services, pipeline)
    return record.size if record is not None and not record.digest else None


@contextmanager
def _progress(total: int | None) -> Iterator[Callable[[int], object] | None]:
    """Show on a terminal how far a large file has been read."""
    import sys

    if total is None or total < _LARGE_BYTES or not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=total, label="reading the image", file=sys.stderr) as bar:
        yield bar.update


def _size(size: int | None) -> str:
    if size is None:
        return ""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
