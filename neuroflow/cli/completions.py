"""What the shell may offer while someone types: labels, runs and names, as the database has them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from neuroflow.config import NeuroflowConfig
    from neuroflow.core.glance import Glance

Kind = Literal["subject", "session", "pipeline", "stage", "run", "why", "signature", "letter", "standing", "priority"]

_LIMIT = 100
_FEW = 10
# Parameters that are known by their names, whatever command has them.
_KINDS: dict[str, Kind] = {
    "pipeline": "pipeline",
    "pipelines": "pipeline",
    "stage": "stage",
    "run_id": "run",
    "run_ids": "run",
    "words": "why",
    "signature": "signature",
    "standings": "standing",
    "priority": "priority",
}
_KINDS_OF_METAVARS: dict[str, Kind] = {"PIPELINE": "pipeline", "SIGNATURE": "letter", "RUN": "run"}
_EQUIPPED = (click.types.StringParamType, click.types.IntParamType, click.types.FuncParamType)


def suggestions(kind: Kind, context: click.Context, incomplete: str) -> list[CompletionItem[Any]]:
    """Return what may be meant; nothing where there is no configuration or database, and never an error."""
    try:
        return list(_suggest(kind, context, incomplete))
    except Exception:  # nothing may disturb a person who types
        return []


def _suggest(kind: Kind, context: click.Context, incomplete: str) -> Iterator[CompletionItem[Any]]:
    if kind in ("standing", "priority"):
        yield from _beginning(_words(kind), incomplete)
        return
    config = _config(context)
    if kind in ("pipeline", "stage"):
        names = sorted(type(config.pipelines).model_fields)
        yield from _beginning(["discovery", *names] if kind == "stage" else names, incomplete)
        return
    with _glance(config) as glance:
        if kind == "why":
            yield from _for_why(config, glance, context.params.get("words") or (), incomplete)
        elif kind == "subject":
            yield from _subjects(glance, incomplete)
        elif kind == "session":
            subject = context.params.get("subject") or context.params.get("subject_label")
            yield from _sessions(glance, subject if isinstance(subject, str) else None, incomplete)
        else:
            if kind in ("signature", "letter"):
                yield from _beginning(glance.signatures(incomplete, limit=_LIMIT), incomplete)
            if kind in ("run", "letter"):
                yield from _runs(glance, incomplete, limit=_LIMIT, failed=kind == "letter")


def _words(kind: Kind) -> list[str]:
    from neuroflow.domain.overview import Standing
    from neuroflow.domain.priority import PRIORITY_WORDS

    return [str(one) for one in Standing] if kind == "standing" else list(PRIORITY_WORDS)


def _beginning(words: Iterable[str], incomplete: str) -> Iterator[CompletionItem[Any]]:
    return (CompletionItem(word) for word in words if word.startswith(incomplete))


def _subjects(glance: Glance, incomplete: str) -> Iterator[CompletionItem[Any]]:
    for shown, typed in _ways_to_write("sub-", incomplete):
        yield from (CompletionItem(shown + label) for label in glance.subjects(typed, limit=_LIMIT))


def _sessions(glance: Glance, subject: str | None, incomplete: str) -> Iterator[CompletionItem[Any]]:
    for shown, typed in _ways_to_write("ses-", incomplete):
        found = glance.sessions(typed, subject=subject, limit=_LIMIT)
        yield from (CompletionItem(shown + label) for label in found)


def _runs(glance: Glance, incomplete: str, *, limit: int, failed: bool = False) -> Iterator[CompletionItem[Any]]:
    for run in glance.runs(incomplete, limit=limit, status="failed" if failed else None):
        yield CompletionItem(str(run.id), help=f"{run.pipeline} {run.scope} {run.status}")


def _for_why(
    config: NeuroflowConfig, glance: Glance, before: Sequence[str], incomplete: str
) -> Iterator[CompletionItem[Any]]:
    """Return what is not named yet of a subject, its session and a pipeline."""
    pipelines = sorted(type(config.pipelines).model_fields)
    labels = [word for word in before if word not in pipelines]
    subject = next((word for word in labels if not word.startswith("ses-")), None)
    if subject is None:
        yield from _subjects(glance, incomplete)
        return
    if len(labels) == 1:
        yield from _sessions(glance, subject.removeprefix("sub-"), incomplete)
    if len(labels) == len(before):
        yield from _beginning(pipelines, incomplete)


def newest_runs(context: click.Context, incomplete: str) -> list[CompletionItem[Any]]:
    """Return the newest runs whose number begins so: few, as they are offered beside other words."""
    try:
        with _glance(_config(context)) as glance:
            return list(_runs(glance, incomplete, limit=_FEW))
    except Exception:  # nothing may disturb a person who types
        return []


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
        if kind is not None and isinstance(parameter.type, _EQUIPPED):
            parameter.type = _Suggested(parameter.type, kind)
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        equip(below)


def _kind_of(parameter: click.Parameter) -> Kind | None:
    if parameter.name in _KINDS:
        return _KINDS[parameter.name]
    words = (parameter.metavar or "").strip("[].").split("|")
    return next((_KINDS_OF_METAVARS[word] for word in words if word in _KINDS_OF_METAVARS), None)
