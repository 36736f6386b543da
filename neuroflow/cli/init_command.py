"""`neuroflow init`: write a commented configuration that loads."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, fields
from pathlib import Path

import click

_FOLDERS = {
    "dicom_root": "data/dicom",
    "bids_root": "data/bids",
    "derivatives_root": "data/derivatives",
    "work_root": "data/work",
    "state_dir": "data/state",
}
_FILE_NAME = "neuroflow.yaml"


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


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path())
@click.option("--dicom-root", metavar="FOLDER", help="The scanner's DICOM sessions; must exist.")
@click.option("--bids-root", metavar="FOLDER", help="The BIDS dataset to fill.")
@click.option("--derivatives-root", metavar="FOLDER", help="The derivative datasets.")
@click.option("--work-root", metavar="FOLDER", help="Working directories; large.")
@click.option("--state-dir", metavar="FOLDER", help="neuroflow's own folder.")
@click.option("--freesurfer-license", metavar="FILE", help="FreeSurfer licence.")
@click.option("--templateflow-home", metavar="FOLDER", help="TemplateFlow folder, filled beforehand.")
@click.option("--site", metavar="NAME", help="Name of a site, or path of a site file.")
@click.option("--force", is_flag=True, help="Replace a neuroflow.yaml that is there.")
def init_command(folder: Path, force: bool, **options: str | None) -> None:
    """Write a commented neuroflow.yaml into FOLDER (default: here).

    Relative paths are relative to FOLDER. Asks for what is not given, but only on a terminal.
    """
    from neuroflow.errors import UsageError

    folder = Path.cwd() / folder
    target = folder / _FILE_NAME
    # lexists: a dangling link is something that is there, too.
    if os.path.lexists(target) and not force:
        raise UsageError(f"{target} exists", hint="edit it, or replace it with --force")
    answers = _ask(Answers(**{field.name: options[field.name] for field in fields(Answers)}))
    _write(folder, target, answers, force=force)


def _ask(given: Answers) -> Answers:
    """Fill in what was not given: by asking on a terminal, by the defaults elsewhere."""
    asked = sys.stdin.isatty() and sys.stdout.isatty()
    values = {field.name: getattr(given, field.name) for field in fields(Answers)}
    for name, default in _FOLDERS.items():
        if values[name] is None:
            values[name] = click.prompt(f"paths.{name}", default=default) if asked else default
    return Answers(**values)


def _write(folder: Path, target: Path, answers: Answers, *, force: bool) -> None:
    from neuroflow.cli.init_text import configuration_text
    from neuroflow.config import NeuroflowConfig
    from neuroflow.errors import ConfigError, UsageError

    text = configuration_text(answers)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if answers.dicom_root == _FOLDERS["dicom_root"]:
            # The default lies in the new folder: an empty one is a fair start.
            (folder / answers.dicom_root).mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{_FILE_NAME}.{os.getpid()}.tmp"
        temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{target} can't be written: {error.strerror}") from error
    try:
        # Only this file: the environment may hold another configuration.
        config = NeuroflowConfig.find_and_load(temporary, environ={}, check_files=False)
        missing = [line.replace(str(temporary), str(target)) for line in config.check_files()]
        _publish(temporary, target, force=force)
    except ConfigError as error:
        raise ConfigError(str(error).replace(str(temporary), str(target)), hint="nothing was written") from None
    finally:
        temporary.unlink(missing_ok=True)
    click.echo(f"Wrote {target}")
    for line in missing:
        click.echo(f"To do: {line}")
    click.echo("Next: `neuroflow config validate`, then `neuroflow db upgrade`")


def _publish(temporary: Path, target: Path, *, force: bool) -> None:
    from neuroflow.errors import UsageError

    if force:
        temporary.replace(target)
        return
    try:
        # A link fails where a rename would replace a file that has appeared meanwhile.
        target.hardlink_to(temporary)
    except FileExistsError as error:
        raise UsageError(f"{target} exists", hint="edit it, or replace it with --force") from error
