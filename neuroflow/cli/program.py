"""The group of all commands: how an error, a mistyped word and an interruption reach a person."""

from __future__ import annotations

import errno
import sys
from typing import TYPE_CHECKING, Any

import click

from neuroflow.cli.output import escaped
from neuroflow.errors import NeuroflowError

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130  # as shells tell a process that SIGINT has ended
_DEBUG = "--debug"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class NeuroflowGroup(click.Group):
    """Turns the errors of every command into lines on standard error and an exit code."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line; in standalone mode, end the process with its exit code, errors as lines before it."""
        args = debug_first(sys.argv[1:] if args is None else args)
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        try:
            code = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except click.ClickException as error:
            show_usage_error(error, args, self)
            sys.exit(error.exit_code)
        except click.Abort:
            click.echo("aborted", err=True)
            sys.exit(1)
        # What a command returns is no exit code: click's own is an int of an Exit.
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        debug = bool(ctx.params.get("debug"))
        try:
            return super().invoke(ctx)
        except NeuroflowError as error:
            show_error(error, debug=debug, command=ctx.invoked_subcommand)
            raise click.exceptions.Exit(error.exit_code) from error
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None
        except (click.ClickException, click.exceptions.Exit, click.Abort, EOFError):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # the reader of a pipe has gone; click ends quietly
            if isinstance(error, OSError) and error.errno in _NO_ROOM:
                _say("error", f"{escaped(str(error.filename or 'the output'))} can't be written: {error.strerror}")
                raise click.exceptions.Exit(1) from error
            show_unexpected(error, debug=debug)
            raise click.exceptions.Exit(1) from error


def debug_first(args: Sequence[str]) -> list[str]:
    """Return the arguments with --debug before the command: an error shows what comes after it, and one looks again."""
    words = list(args)
    options = words[: words.index("--")] if "--" in words else words
    return (
        [_DEBUG, *(word for word in options if word != _DEBUG), *words[len(options) :]] if _DEBUG in options else words
    )


def show_error(error: NeuroflowError, *, debug: bool, command: str | None = None) -> None:
    """Write what happened and what to do; with `debug`, from where.

    Args:
        command: that was asked for; a hint to the help of any command then names this one.
    """
    if debug:
        _show_traceback(error)
    lines = [escaped(line) for line in str(error).splitlines()] or [type(error).__name__]
    _say("error", "\n".join(lines))
    if error.hint:
        _say("hint", error.hint.replace("neuroflow COMMAND ", f"neuroflow {command} ") if command else error.hint)


def show_unexpected(error: Exception, *, debug: bool) -> None:
    """Write what nobody has foreseen in one line; with `debug`, from where."""
    if debug:
        _show_traceback(error)
    text = " ".join(str(error).split())
    _say("error", f"unexpected {type(error).__name__}{': ' if text else ''}{escaped(text)}")
    _say(
        "hint",
        "this is a mistake in neuroflow: please report it with these lines"
        if debug
        else "this is a mistake in neuroflow: run it again with --debug, and report what that shows",
    )


def show_usage_error(error: click.ClickException, args: Sequence[str], program: click.Group) -> None:
    """Write what is wrong with a command line, and what may have been meant."""
    from neuroflow.cli.did_you_mean import explain

    if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):  # since click 8.2
        error.show()
        return
    message, hint = explain(error, args, program)
    _say("error", escaped(message))
    if hint:
        _say("hint", hint)


def _show_traceback(error: Exception) -> None:
    import traceback

    click.echo("".join(traceback.format_exception(error)), err=True, nl=False)


def _say(what: str, text: str) -> None:
    click.echo(f"{what}: {text}", err=True)
