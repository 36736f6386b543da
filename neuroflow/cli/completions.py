"""What the shell may offer while someone types: labels, runs and names, as the database has them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from neuroflow.config import NeuroflowConfig
    from neuroflow.core.glance import Glance

Kind = Literal["subject", "session", "pipeline", "run"]

_LIMIT = 100
_PREFIXES = {"subject": "sub-", "session": "ses-"}
# Parameters that are known by their names, whatever command has them.
_KINDS: dict[str, Kind] = {"pipeline": "pipeline", "pipelines": "pipeline", "run_id": "run", "run_ids": "run"}
_KINDS_OF_METAVARS: dict[str, Kind] = {"PIPELINE": "pipeline", "RUN": "run"}


def suggestions(kind: Kind, context: click.Context, incomplete: str) -> list[CompletionItem[Any]]:
    """Return what may be meant; nothing where there is no configuration or database, and never an error."""
    try:
        return list(_suggest(kind, context, incomplete))
    except Exception:  # nothing may disturb a person who types
        return []


def _suggest(kind: Kind, context: click.Context, incomplete: str) -> Iterator[CompletionItem[Any]]:
    config = _config(context)
    if kind == "pipeline":
        names = sorted(type(config.pipelines).model_fields)
        yield from (CompletionItem(name) for name in names if name.startswith(incomplete))
        return
    with _glance(config) as glance:
        if kind == "run":
            for run in glance.runs(incomplete, limit=_LIMIT):
                yield CompletionItem(str(run.id), help=f"{run.pipeline} {run.scope} {run.status}")
            return
        prefix = _PREFIXES[kind]
        subject = context.params.get("subject") if kind == "session" else None
        for shown, typed in _ways_to_write(prefix, incomplete):
            found = (
                glance.subjects(typed, limit=_LIMIT)
                if kind == "subject"
                else glance.sessions(typed, subject=subject if isinstance(subject, str) else None, limit=_LIMIT)
            )
            yield from (CompletionItem(shown + label) for label in found)


def _ways_to_write(prefix: str, incomplete: str) -> Iterator[tuple[str, str]]:
    """Return the prefixes to show with the beginnings of labels that were typed: `s` may begin `sub-` or a label."""
    if incomplete.startswith(prefix):
        typed = incomplete.removeprefix(prefix)
        if typed == "" or typed.isalnum():
            yield prefix, typed
        return
    if prefix.startswith(incomplete):
        yield prefix, ""
    if incomplete.isalnum():
        yield "", incomplete


def _config(context: click.Context) -> NeuroflowConfig:
    from neuroflow.config import NeuroflowConfig

    return NeuroflowConfig.find_and_load(context.find_root().params.get("config_path"), check_files=False)


def _glance(config: NeuroflowConfig) -> AbstractContextManager[Glance]:
    from neuroflow.core.glance import glance

    return glance(config.database_url())


def complete(program: click.Command, variable: str) -> NoReturn:
    """Answer the shell, and end; whatever goes wrong, nothing is written between the words of a person who types."""
    add_completion_class(_Bash, "bash")
    sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 -- until the process ends
    equip(program)
    try:
        program(prog_name="neuroflow", complete_var=variable)
    except Exception:
        sys.exit(1)
    sys.exit(0)


class _Bash(BashComplete):
    """Bash gives `--subject=sub-01` as three words."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the cursor, and the one at it."""
        args, incomplete = super().get_completion_args()
        return [word for word, before in zip(args, ["", *args], strict=False) if not _joins(word, before)], incomplete


def _joins(word: str, before: str) -> bool:
    return word == "=" and before.startswith("--")


class _Suggested(click.ParamType[Any]):
    """A type that stays what it is for the command, and offers what there is."""

    def __init__(self, original: click.ParamType[Any], kind: Kind) -> None:
        self.name = original.name
        self._original = original
        self._kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return what the command takes."""
        return self._original.convert(value, param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        """Offer what there is of its kind."""
        return suggestions(self._kind, ctx, incomplete)


def equip(command: click.Command) -> None:
    """Let every parameter that names a pipeline or a run, in this command and below, offer what there is."""
    for parameter in command.params:
        kind = _kind_of(parameter)
        if kind is not None and isinstance(parameter.type, click.types.StringParamType | click.types.IntParamType):
            parameter.type = _Suggested(parameter.type, kind)
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        equip(below)


def _kind_of(parameter: click.Parameter) -> Kind | None:
    if parameter.name in _KINDS:
        return _KINDS[parameter.name]
    words = (parameter.metavar or "").strip("[].").split("|")
    return next((_KINDS_OF_METAVARS[word] for word in words if word in _KINDS_OF_METAVARS), None)
