"""Find the neuroflow command lines in our pages, help texts and hints, and check them against the commands."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

CHECKOUT = Path(__file__).resolve().parents[2]
GENERATED = ("cli.md", "configuration.md")
_FENCE = re.compile(r"^ {0,3}```(\w*)[^\n]*\n(.*?)^ {0,3}```", re.MULTILINE | re.DOTALL)
_SHELL = ("", "sh", "bash", "console", "shell")
# Where a line calls neuroflow: at its start, after a prompt, a path, variables, or the times of a crontab.
_CALL = re.compile(r"^(?:[\d*/, ]+ |\$ )?(?:[A-Z_]+=\S* )*(?:\S*/)?neuroflow (?=\S)(.*)$")
_SPAN = re.compile(r"`neuroflow ([^`\n{][^`\n]*)`")  # not one whose command is a placeholder
_END = re.compile(r"\|\|?|&&?|;|\d?[<>].*")  # what follows is the shell's
# What stands for something in a text; a placeholder of an f-string does too.
_STANDS_FOR = re.compile(r"\{[^{}]*\}|…|\b(?:ID|RUN|JOB)\b")
_ANY_COMMAND = re.compile(r"^COMMAND\b")


@dataclass(frozen=True)
class CommandLine:
    """A command line as it was written, where, and its arguments; a mention may leave arguments out."""

    place: str
    text: str
    arguments: tuple[str, ...]
    is_mention: bool = False

    def __str__(self) -> str:
        return f"{self.place}: neuroflow {self.text}"


def pages() -> list[Path]:
    """Return the pages that people write: README.md and docs/*.md without the generated ones."""
    found = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
    return [page for page in found if page.name not in GENERATED]


def lines_of_page(text: str, name: str) -> Iterator[CommandLine]:
    """Return the command lines in the fenced blocks of a page, and its mentions of commands."""
    for block in _FENCE.finditer(text):
        if block.group(1) not in _SHELL:
            continue
        first = text.count("\n", 0, block.start()) + 2
        for offset, line in _joined(block.group(2)):
            if call := _CALL.match(line.strip()):
                yield _command_line(call.group(1), f"{name}:{first + offset}")
    for number, line in enumerate(text.splitlines(), start=1):
        yield from _mentions(line, f"{name}:{number}")


def lines_of_source(text: str, name: str) -> Iterator[CommandLine]:
    """Return the commands that a module mentions in its messages and hints."""
    for number, line in enumerate(text.splitlines(), start=1):
        yield from _mentions(line, f"{name}:{number}")


def lines_of_help(command: click.Command, path: str) -> Iterator[CommandLine]:
    """Return the examples that a command's help shows."""
    for line in (command.epilog or "").splitlines():
        if call := _CALL.match(line.strip()):
            yield _command_line(call.group(1), f"{path} --help")


def _joined(block: str) -> Iterator[tuple[int, str]]:
    """Return a block's lines with their numbers; those that end with a backslash are one with the next."""
    whole, start = "", 0
    for number, line in enumerate(block.splitlines()):
        whole, start = (f"{whole} {line.strip()}", start) if whole else (line, number)
        if whole.endswith("\\"):
            whole = whole[:-1].rstrip()
            continue
        yield start, whole
        whole = ""


def _mentions(line: str, place: str) -> Iterator[CommandLine]:
    for span in _SPAN.finditer(line):
        # `rerun|exclude` mentions two commands, `[SESSION]` one with and one without it.
        words = [word.strip("[]").split("|") for word in span.group(1).split()]
        for chosen in itertools.product(*words) if any(len(word) > 1 for word in words) else [()]:
            text = " ".join(chosen) or span.group(1)
            yield _command_line(text, place, is_mention=True)


def _command_line(text: str, place: str, *, is_mention: bool = False) -> CommandLine:
    filled = _ANY_COMMAND.sub("status", _STANDS_FOR.sub("12", text))
    lexer = shlex.shlex(filled, posix=True)
    lexer.whitespace_split = True
    words = itertools.takewhile(lambda word: not _END.fullmatch(word), lexer)
    return CommandLine(place, text, tuple(word.strip("[]") for word in words), is_mention)


def find_problem(line: CommandLine, program: click.Group) -> str:
    """Return what the program would not understand in a command line; nothing is run."""
    try:
        _parse(program, line.arguments, is_mention=line.is_mention)
    except (click.exceptions.Exit, click.exceptions.NoArgsIsHelpError):
        return ""
    except (click.MissingParameter, click.BadOptionUsage) as error:
        return "" if line.is_mention else error.format_message()
    except click.UsageError as error:
        return error.format_message()
    return ""


def _parse(program: click.Group, arguments: tuple[str, ...], *, is_mention: bool) -> None:
    command: click.Command = program
    name, rest, parent = str(program.name), list(arguments), None
    while True:
        context = command.make_context(name, rest, parent=parent)
        left = [*context._protected_args, *context.args]
        if not isinstance(command, click.Group):
            return
        if not left:
            if is_mention or command.invoke_without_command:
                return
            raise click.UsageError("Missing command.", context)
        found, below, rest = command.resolve_command(context, left)
        assert below is not None
        name, command, parent = str(found), below, context


def every_command(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Return a command and all below it, with the words that call each."""
    yield " ".join(("neuroflow", *path)), command
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from every_command(below, (*path, name))
