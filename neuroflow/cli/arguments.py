"""Options and values that several commands share: labels, statuses, reasons, examples."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from enum import StrEnum

    from click.shell_completion import CompletionItem

    from neuroflow.cli.completions import Kind
    from neuroflow.domain import RunStatus, SessionRecord
    from neuroflow.orchestrator.services import Services


def examples(*lines: str) -> str:
    """Return a help epilog that shows example command lines as they are."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


class LabelType(click.ParamType[str]):
    """A subject's or session's label, with or without its prefix."""

    name = "label"

    def __init__(self, prefix: str, kind: Kind) -> None:
        self.prefix = prefix
        self.kind = kind

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the label without its prefix."""
        from neuroflow.domain import is_label

        text = value.removeprefix(self.prefix)
        if not is_label(text):
            raise click.BadParameter(f"{value!r} is no label: letters and digits, with or without '{self.prefix}'")
        return text

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Offer the labels of the database."""
        from neuroflow.cli.completions import suggestions

        return suggestions(self.kind, ctx, incomplete)


class NameType(click.ParamType[str]):
    """A name or number that is checked where it is used, and can be completed."""

    name = "text"

    def __init__(self, kind: Kind) -> None:
        self.kind = kind

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name as it is."""
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Offer what there is of its kind."""
        from neuroflow.cli.completions import suggestions

        return suggestions(self.kind, ctx, incomplete)


class StatusType(click.ParamType["StrEnum"]):
    """A status enum of the domain, imported only when a value is given."""

    name = "status"

    def __init__(self, enum_name: str) -> None:
        self._enum_name = enum_name

    def convert(self, value: str | StrEnum, param: click.Parameter | None, ctx: click.Context | None) -> StrEnum:
        """Return the member that a word means."""
        from neuroflow.cli.status_vocabulary import member

        return member(value, self._statuses())

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Offer the statuses."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(str(status)) for status in self._statuses() if status.startswith(incomplete.lower())]

    def _statuses(self) -> type[StrEnum]:
        from neuroflow import domain

        found: type[StrEnum] = getattr(domain, self._enum_name)
        return found


def status_of(enum_name: str) -> StatusType:
    """Return a parameter type for a status enum of the domain."""
    return StatusType(enum_name)


class RunStatusType(click.ParamType["tuple[RunStatus, ...]"]):
    """Statuses of runs, by one word of theirs or of `neuroflow status`."""

    name = "status"

    def convert(
        self, value: str | tuple[RunStatus, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[RunStatus, ...]:
        """Return what a word means: `waiting` is two statuses."""
        from neuroflow.cli.status_vocabulary import run_statuses

        return run_statuses(value) if isinstance(value, str) else value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Offer the statuses of runs."""
        return status_of("RunStatus").shell_complete(ctx, param, incomplete)


def _each_once(ctx: click.Context, param: click.Parameter, value: tuple[tuple[Any, ...], ...]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(chain.from_iterable(value)))


run_status_option = click.option(
    "--status",
    "statuses",
    type=RunStatusType(),
    multiple=True,
    callback=_each_once,
    help="Only with this status; repeatable.",
)

SUBJECT = LabelType("sub-", "subject")
SESSION = LabelType("ses-", "session")
PIPELINE = NameType("pipeline")

json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON.")
reason_option = click.option("--reason", default="", metavar="TEXT", help="Why; goes into the audit log.")


def actor() -> str:
    """Return who gives the command, for the audit log."""
    import getpass
    import os

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without an entry, as in containers
        return f"uid {os.getuid()}"


def find_session(services: Services, subject: str, session: str) -> SessionRecord:
    """Return a session by its labels.

    Raises:
        NotFoundError: when the subject, or its session, is not there.
    """
    from neuroflow.errors import NotFoundError

    found = services.state.find_session(subject, session)
    if found is not None:
        return found
    services.state.get_subject(subject)
    labels = ", ".join(record.label for record in services.state.list_sessions(subject=subject))
    raise NotFoundError(f"subject '{subject}' has no session '{session}'; there are: {labels or 'none'}")
