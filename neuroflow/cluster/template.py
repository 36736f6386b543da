"""Render the sbatch script of a job from its pipeline's template; every value in it is quoted, or refused."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError

from neuroflow.data import data_path
from neuroflow.errors import ClusterError

BASE_NAME = "base.sbatch.j2"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_OPTION = re.compile(r"--?[A-Za-z][A-Za-z0-9-]*(?:[= ].*)?")


class Safe(str):
    """Text that has been made fit for the script by one of the filters."""


def render_script(pipeline: str, values: dict[str, Any], *, folder: Path | None = None) -> str:
    """Return a job's script, from `<pipeline>.sbatch.j2` or else from the base template.

    Raises:
        ClusterError: when a value holds a line break or control character, or the template is broken.
    """
    names = (f"{pipeline}.sbatch.j2", BASE_NAME)
    return render_template(names, values, what=f"the job script of {pipeline}", folder=folder)


def render_template(names: Sequence[str], values: Mapping[str, Any], *, what: str, folder: Path | None = None) -> str:
    """Return the text of the first of these templates that there is.

    Args:
        names: of files in the folder.
        values: what the template prints.
        what: is made, in words, for the error.
        folder: of the templates; none: the one that neuroflow ships.

    Raises:
        ClusterError: when a value holds a line break or control character, or the template is broken.
    """
    environment = _environment(folder or data_path("slurm"))
    try:
        return environment.select_template(list(names)).render(values)
    except (TemplateError, ValueError) as error:
        raise ClusterError(
            f"{what} can't be made: {error}",
            hint="check the names of folders, and the values under `cluster` and `pipelines`",
        ) from error


def _environment(folder: Path) -> Environment:
    environment = Environment(  # noqa: S701 - shell text, not HTML: `finalize` lets quoted values through only
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        finalize=_only_safe,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters = (shell, line, option, job_file, inside, cron, unit_word, unit_value)
    environment.filters.update({one.__name__: one for one in filters})
    return environment


def _only_safe(value: Any) -> Any:
    if isinstance(value, (Safe, int, StrictUndefined)):  # an undefined one raises by itself
        return value
    raise ValueError(f"the template prints {value!r} without a filter that makes it safe")


def line(value: object) -> Safe:
    """Pass one line of the site's own on as it is."""
    text = str(value)
    if _CONTROL.search(text.replace("\t", " ")):
        raise ValueError(f"{text!r} holds a line break or control character")
    return Safe(text)


def shell(value: object) -> Safe:
    """Quote a value as one word of the shell, or of an #SBATCH line, which has the same quotes."""
    return Safe(shlex.quote(line(value)))


def job_file(folder: object, name: str) -> Safe:
    """Quote the name of a file in a folder, in which SLURM replaces `%j`; of the folder it must replace nothing."""
    text = line(folder)
    if "\\" in text or "%" in text:
        raise ValueError(f"{text!r} holds a backslash or percent sign, which SLURM replaces in file names")
    return shell(f"{text}/{name}")


def option(value: object) -> Safe:
    """Pass an #SBATCH option of the site's own on, with or without `#SBATCH` before it."""
    text = line(value).strip().removeprefix("#SBATCH").strip()
    if not _OPTION.fullmatch(text):
        raise ValueError(f"{text!r} is no sbatch option, such as --mail-type=FAIL")
    return Safe(text)


def inside(value: object) -> Safe:
    """Put a shell expression of the site between double quotes."""
    text = line(value)
    if '"' in text:
        raise ValueError(f"{text!r} holds a double quote; use an expression such as $SLURM_TMPDIR")
    return Safe(f'"{text}"')


def cron(value: object) -> Safe:
    """Quote a value as one word of a crontab's command, where a bare `%` would end the line."""
    return Safe(shell(value).replace("%", r"\%"))


def unit_word(value: object) -> Safe:
    """Quote a value as one word of a systemd command line, where `$` would name a variable.

    https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html#Command%20lines
    """
    return Safe(unit_value(value).replace("$", "$$"))


def unit_value(value: object) -> Safe:
    """Quote a value as one word of another systemd setting, such as Environment=."""
    text = str(line(value))
    for character, instead in (("\\", r"\\"), ('"', r"\""), ("%", "%%")):
        text = text.replace(character, instead)
    return Safe(f'"{text}"')
