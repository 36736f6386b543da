"""Options and values that several commands share: labels, statuses, reasons, examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import StrEnum

    from neuroflow.domain import SessionRecord
    from neuroflow.orchestrator.services import Services


def examples(*lines: str) -> str:
    """Return a help epilog that shows example command lines as they are."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def _label(prefix: str) -> Callable[[str], str]:
    def label(value: str) -> str:
        from neuroflow.domain import is_label

        text = value.removeprefix(prefix)
        if not is_label(text):
            raise click.BadParameter(f"{value!r} is no label: letters and digits, with or without '{prefix}'")
        return text

    return label


def status_of(enum_name: str) -> Callable[[str], StrEnum]:
    """Return a parameter type for a status enum of the domain, imported only when a value is given."""

    def status(value: str) -> StrEnum:
        from neuroflow import domain

        statuses: type[StrEnum] = getattr(domain, enum_name)
        try:
            return statuses(value.lower())
        except ValueError:
            raise click.BadParameter(f"{value!r} is none of: {', '.join(statuses)}") from None

    return status


# A subject or session label, with or without its prefix.
SUBJECT = _label("sub-")
SESSION = _label("ses-")

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
