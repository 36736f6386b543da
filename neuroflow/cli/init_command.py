"""`neuroflow init`: write a configuration that loads, and the site file of a new site."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from neuroflow.cli.arguments import examples

if TYPE_CHECKING:
    from neuroflow.cli.init_files import NewFile
    from neuroflow.cli.init_site import LearnedSite

_FOLDERS = {
    "dicom_root": "data/dicom",
    "bids_root": "data/bids",
    "derivatives_root": "data/derivatives",
    "work_root": "data/work",
    "state_dir": "data/state",
}
_FILE_NAME = "neuroflow.yaml"
Kind = Literal["auto", "slurm", "local"]


@dataclass(frozen=True)
class Answers:
    """What goes into the file; None keeps a key commented out."""

    dicom_root: str | None
    bids_root: str | None
    derivatives_root: str | None
    work_root: str | None
    state_dir: str | None
    freesurfer_license: str | None
    templateflow_home: str | None
    site: str | None


@dataclass(frozen=True)
class _How:
    """How to go about it."""

    force: bool
    dry_run: bool
    all_keys: bool
    kind: Kind
    timeout: float
    keeps_main: bool = False  # neuroflow.yaml stays as it is, and only the site file is written


@click.command("init", epilog=examples("neuroflow init study --dicom-root /data/dicom --site local"))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path())
@click.option("--dicom-root", metavar="FOLDER", help="The scanner's DICOM sessions; must exist.")
@click.option("--bids-root", metavar="FOLDER", help="The BIDS dataset to fill.")
@click.option("--derivatives-root", metavar="FOLDER", help="The derivative datasets.")
@click.option("--work-root", metavar="FOLDER", help="Working directories; large.")
@click.option("--state-dir", metavar="FOLDER", help="neuroflow's own folder.")
@click.option("--freesurfer-license", metavar="FILE", help="FreeSurfer licence.")
@click.option("--templateflow-home", metavar="FOLDER", help="TemplateFlow folder, filled beforehand.")
@click.option(
    "--site", metavar="NAME", help="Name of a site, or path of a site file. A new name: ask the cluster, and write one."
)
@click.option(
    "--kind",
    type=click.Choice(["auto", "slurm", "local"]),
    default="auto",
    help="What a new site is; auto: SLURM where its commands are there.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=20.0,
    metavar="SECONDS",
    help="How long to wait for each command that is asked about a new site (20).",
)
@click.option("--all-keys", is_flag=True, help="Write every key, the defaults commented out.")
@click.option("--force", is_flag=True, help="Replace files that are there; their former text is kept as FILE.old.")
@click.option("--dry-run", is_flag=True, help="Print the files, and write nothing.")
def init_command(
    folder: Path, force: bool, dry_run: bool, all_keys: bool, kind: Kind, timeout: float, **options: str | None
) -> None:
    """Write a commented neuroflow.yaml into FOLDER (default: here).

    Relative paths are relative to FOLDER. Asks people only for folders that are not given, and only on a terminal.

    With the name of a new site, SLURM and the machine are asked, and FOLDER/site-configs/NAME.yaml is written from
    what they say. With --force, such a file is written anew.
    """
    from neuroflow.cli.init_site import is_to_be_learned

    folder = Path.cwd() / folder
    answers = Answers(**{field.name: options[field.name] for field in fields(Answers)})
    how = _How(force=force, dry_run=dry_run, all_keys=all_keys, kind=kind, timeout=timeout)
    learned = None
    is_new = answers.site is not None and is_to_be_learned(answers.site, folder=folder, force=force)
    how = replace(how, keeps_main=is_new and _keeps_main(folder, answers, how))
    if not (how.dry_run or how.keeps_main):
        _refuse_existing(folder, how)
    if answers.site is not None and is_new:
        learned = _learn(answers.site, folder, how)
        answers = _with_found(answers, learned)
    _write(folder, _ask(answers, dry_run=dry_run), how, learned)


def _refuse_existing(folder: Path, how: _How) -> None:
    """Refuse at once what would be refused after a minute of asking."""
    from neuroflow.cli.init_files import NewFile

    NewFile(folder / _FILE_NAME, "", replace=how.force).check()


def _learn(site: str, folder: Path, how: _How) -> LearnedSite:
    from neuroflow.cli.init_site import learn_site
    from neuroflow.config.find import near_site

    near = near_site(site, beside=folder)
    guess = f" (or did you mean '{near}'?)" if near not in (None, site) else ""
    click.echo(f"Asking SLURM and this machine about '{site}'{guess}", err=True)
    return learn_site(site, folder=folder, kind=how.kind, timeout=how.timeout)


def _keeps_main(folder: Path, answers: Answers, how: _How) -> bool:
    """Tell whether a neuroflow.yaml that is there stays: asking about a site costs nobody the edits of that file."""
    given = [name for name, value in vars(answers).items() if value is not None and name != "site"]
    file = folder / _FILE_NAME
    if given or how.all_keys or not file.is_file():
        return False
    return not how.force or _names_site(file, answers.site)


def _names_site(file: Path, site: str | None) -> bool:
    from neuroflow.config.document import read_document

    return read_document(file).values.get("site") == site


def _with_found(answers: Answers, learned: LearnedSite) -> Answers:
    """Fill in the licence and the TemplateFlow folder that were found, unless others are named."""
    machine = learned.machine
    filled = [flow.folder for flow in machine.templateflow if flow.images]
    return replace(
        answers,
        freesurfer_license=answers.freesurfer_license or next(iter(machine.licences), None),
        templateflow_home=answers.templateflow_home or next(iter(filled), None),
    )


def _ask(given: Answers, *, dry_run: bool) -> Answers:
    """Fill in what was not given: by asking on a terminal, by the defaults elsewhere."""
    asked = sys.stdin.isatty() and sys.stdout.isatty() and given.site is None and not dry_run
    values = {field.name: getattr(given, field.name) for field in fields(Answers)}
    for name, default in _FOLDERS.items():
        if values[name] is None:
            values[name] = click.prompt(f"paths.{name}", default=default) if asked else default
    return Answers(**values)


def _write(folder: Path, answers: Answers, how: _How, learned: LearnedSite | None) -> None:
    from neuroflow.cli.init_files import NewFile, write

    site = None if learned is None else NewFile(learned.path, learned.text, replace=how.force)
    main = NewFile(folder / _FILE_NAME, _main_text(folder, answers, how), replace=how.force)
    named = site if site is not None else _known_site_file(folder, answers.site)
    missing = _check(main, named, answers=answers, dry_run=how.dry_run)
    files = [file for file in (site, None if how.keeps_main else main) if file is not None]
    if how.dry_run:
        for file in files:
            click.echo(f"# --- {file.path}\n{file.text}")
        return
    write(files)
    for file in files:
        click.echo(f"Wrote {file.path}")
    if isinstance(named, Path):
        click.echo(f"The site is that of {named}")
    if how.keeps_main:
        click.echo(f"Kept {main.path}")
        if not _names_site(main.path, answers.site):
            click.echo(f"To do: {main.path}: write `site: {answers.site}` into it")
    _report(learned, missing)


def _main_text(folder: Path, answers: Answers, how: _How) -> str:
    from neuroflow.cli.init_text import configuration_text, short_text

    if how.keeps_main:
        return (folder / _FILE_NAME).read_text(encoding="utf-8")
    return configuration_text(answers) if how.all_keys else short_text(answers)


def _known_site_file(folder: Path, site: str | None) -> Path | None:
    from neuroflow.config.find import find_site_file
    from neuroflow.errors import ConfigError

    if site is None:
        return None
    try:
        return find_site_file(site, base=folder, beside=folder)
    except ConfigError as error:
        raise ConfigError(f"--site: {error}", hint="nothing was written") from None


def _check(main: NewFile, site: NewFile | Path | None, *, answers: Answers, dry_run: bool) -> list[str]:
    from neuroflow.cli.init_files import cannot_write, check_texts

    folder = main.path.parent
    if dry_run:
        with tempfile.TemporaryDirectory(prefix="neuroflow-init-") as stage:
            return check_texts(main, site=site, stage=Path(stage))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if answers.dicom_root == _FOLDERS["dicom_root"]:
            # The default lies in the new folder: an empty one is a fair start.
            (folder / answers.dicom_root).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(main.path, error) from error
    return check_texts(main, site=site, stage=folder)


def _report(learned: LearnedSite | None, missing: list[str]) -> None:
    if learned is not None:
        for line in learned.to_do():
            click.echo(f"To do: {learned.path}: {line}")
    for line in missing:
        click.echo(f"To do: {line}")
    click.echo("Next: edit what needs it, then `neuroflow config validate`, `neuroflow db upgrade`, `neuroflow doctor`")
    click.echo("All keys: docs/configuration.md, or `neuroflow init --all-keys`")
