"""What someone may have meant by a command line that neuroflow doesn't know."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MOST = 3
_UNKNOWN_COMMAND = re.compile(r"No such command '(.*?)'")
_UNKNOWN_OPTION = re.compile(r"No such option:? '?(-[^\s'.]+)")
# Words that other tools have for it.
_OTHER_WORDS = {
    "apply": "workflow run",
    "delete": "cleanup",
    "help": "--help",
    "history": "runs show",
    "info": "runs show",
    "jobs": "runs list",
    "log": "logs",
    "ls": "runs list",
    "ps": "status",
    "queue": "status",
    "remove": "session exclude",
    "rm": "session exclude",
    "sessions": "session list",
    "skip": "session exclude",
    "squeue": "status",
    "start": "up",
    "stop": "runs cancel",
    "subjects": "subject list",
    "submit": "workflow run",
    "version": "--version",
}


def explain(error: click.ClickException, args: Sequence[str], program: click.Group) -> tuple[str, str]:
    """Return what is wrong with a command line in one line, and a hint."""
    message = " ".join(error.format_message().split())
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None:
        return message, ""
    if unknown := _UNKNOWN_COMMAND.match(message):
        return _unknown_command(unknown.group(1), context, program)
    option = _UNKNOWN_OPTION.match(message)
    if option and option.group(1) in _options(program):
        return (
            f"{option.group(1)} is an option of neuroflow itself",
            f"write it before the command: neuroflow {option.group(1)} ... {' '.join(_words(context))}",
        )
    help_line = f"{context.command_path} --help"
    if isinstance(error, click.MissingParameter):
        usage = " ".join([context.command_path, *context.command.collect_usage_pieces(context)])
        return message, f"the command is: {usage}; `{help_line}` explains it"
    return message, f"see `{help_line}`"


def _unknown_command(word: str, context: click.Context, program: click.Group) -> tuple[str, str]:
    typed = [*_words(context), word]
    message = f"there is no command `neuroflow {' '.join(typed)}`"
    meant = similar_commands(typed, program)
    if not meant:
        return message, f"`{context.command_path} --help` lists what there is"
    return message, "did you mean " + " or ".join(f"`neuroflow {path}`" for path in meant) + "?"


def similar_commands(typed: Sequence[str], program: click.Group) -> list[str]:
    """Return the commands that may have been meant, the likeliest first."""
    paths = list(_paths(program))
    written = " ".join(typed)
    other = _OTHER_WORDS.get(typed[-1])
    alike = [path for path in paths if difflib.SequenceMatcher(None, path.split()[-1], typed[-1]).ratio() >= 0.5]
    found = difflib.get_close_matches(written, alike, n=_MOST, cutoff=0.75)
    if not found and other is not None and (other.startswith("-") or other in paths):
        found = [other]
    if not found:
        # The right word in the wrong place: `retry`, `run list`.
        same = [path for path in paths if path.split()[-1] == typed[-1]]
        found = difflib.get_close_matches(written, same, n=_MOST, cutoff=0.0)
    return found or difflib.get_close_matches(written, alike, n=1, cutoff=0.6)


def _paths(group: click.Group, above: tuple[str, ...] = ()) -> Iterator[str]:
    for name, command in group.commands.items():
        if command.hidden:
            continue
        yield " ".join((*above, name))
        if isinstance(command, click.Group):
            yield from _paths(command, (*above, name))


def _words(context: click.Context) -> list[str]:
    return context.command_path.split()[1:]


def _options(command: click.Command) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts}
