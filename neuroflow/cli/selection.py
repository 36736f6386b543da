"""The options by which people say which runs, sessions or subjects they mean, and how these are looked up."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from neuroflow.cli.arguments import SESSION, SUBJECT, run_status_option, status_of
from neuroflow.cli.moments import since_option
from neuroflow.cli.output import counted
from neuroflow.cli.selection_file import Line, Parsed, Problem, parse_list

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from neuroflow.domain import FailureClass, RunFilter, RunStatus, SessionRecord, SubjectRecord
    from neuroflow.orchestrator.services import Services

_SHOWN_PROBLEMS = 20


@dataclass(frozen=True)
class Selection:
    """What was asked for; empty where nothing was."""

    pipeline: str | None = None
    statuses: tuple[RunStatus, ...] = ()
    failure: FailureClass | None = None
    signature: str | None = None
    since: datetime | None = None
    subjects: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    file: str | None = None
    parsed: Parsed = field(default=Parsed((), ()), repr=False)  # what the file names

    @property
    def lines(self) -> tuple[Line, ...]:
        """The lines of the file that name something."""
        return self.parsed.lines

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing narrows it: it would be everything."""
        return not (self.of_runs or self.pipeline or self.subjects or self.sessions or self.file is not None)

    @property
    def of_runs(self) -> bool:
        """Tell whether it says how runs stand."""
        return bool(self.statuses or self.failure or self.signature or self.since)

    def run_filter(self, services: Services, *, statuses: frozenset[RunStatus]) -> RunFilter:
        """Return it for the database.

        Args:
            statuses: where none was asked for.
        """
        from neuroflow.domain import Level, RunFilter, Scopes

        level = services.registry.get(self.pipeline).level if self.pipeline else None
        scopes = None
        if self.file is not None:
            subjects, sessions = look_up(services, self)
            whole = {subject.id for subject in subjects}
            if level is Level.SUBJECT:  # a session's own run is its subject's then
                whole |= {session.subject_id for session in sessions}
            scopes = Scopes(frozenset(whole), frozenset(session.id for session in sessions))
        for label in self.subjects:
            services.state.get_subject(label)
        return RunFilter(
            pipeline=self.pipeline,
            statuses=frozenset(self.statuses) or statuses,
            failure=self.failure,
            signature=self.signature,
            since=self.since,
            subjects=self.subjects,
            sessions=self.sessions,
            scopes=scopes,
        )


def selection_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options to a command, which gets one Selection instead."""

    @wraps(command)
    def selecting(*args: Any, **given: Any) -> None:
        names = ("pipeline", "statuses", "failure", "signature", "since", "subjects", "sessions", "file")
        own = {name: given.pop(name) for name in names}
        parsed = read_list(own["file"]) if own["file"] is not None else Parsed((), ())
        command(*args, selection=Selection(**own, parsed=parsed), **given)

    for option in reversed(_OPTIONS):
        selecting = option(selecting)
    return selecting


_OPTIONS: tuple[Callable[[Callable[..., None]], Callable[..., None]], ...] = (
    click.option("--pipeline", metavar="NAME", help="Only this pipeline's."),
    run_status_option,
    click.option(
        "--class",
        "failure",
        metavar="CLASS",
        type=status_of("FailureClass"),
        help="Only of this failure class, such as out_of_memory.",
    ),
    click.option("--signature", metavar="HASH", help="Only those that failed with this signature."),
    since_option("Only what changed since"),
    click.option("--subject", "subjects", type=SUBJECT, multiple=True, help="Only this subject's; repeatable."),
    click.option("--session", "sessions", type=SESSION, multiple=True, help="Only this session's; repeatable."),
    click.option(
        "--file",
        "file",
        metavar="PATH",
        help="Only what a list names: lines such as `sub-01 ses-a`, or a BIDS table; - for standard input.",
    ),
)


def read_list(name: str) -> Parsed:
    """Read a list of subjects and sessions.

    Raises:
        UsageError: when it can't be read, or names nothing at all.
    """
    from neuroflow.errors import UsageError

    try:
        with click.open_file(name, "rb") as stream:
            text = stream.read().decode("utf-8")
    except OSError as error:
        raise UsageError(f"the list {name} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the list {name} is no text in UTF-8: byte {error.start} can't be read") from error
    parsed = parse_list(text)
    if not (parsed.lines or parsed.problems):
        raise UsageError(f"the list {name} names nothing", hint="one line for each, such as `sub-01 ses-a`")
    return parsed


def look_up(
    services: Services, selection: Selection, *, unfit: Callable[[Line], str] = lambda line: ""
) -> tuple[list[SubjectRecord], list[SessionRecord]]:
    """Return the subjects that a list names as a whole, and the sessions of its other lines, each once.

    Args:
        unfit: says why a line can't be used here, if it can't.

    Raises:
        UsageError: with every line that can't be used, or that names what is not there.
    """
    labels = {line.subject for line in selection.lines}
    subjects = services.state.select_subjects(labels)
    sessions = {
        (session.subject, session.label): session for session in services.state.select_sessions(subjects=sorted(labels))
    }
    problems = list(selection.parsed.problems)
    whole: dict[str, SubjectRecord] = {}
    single: dict[tuple[str, str], SessionRecord] = {}
    for line in selection.lines:
        if line.subject not in subjects:
            problems.append(Problem(line.number, f"there is no subject '{line.subject}'"))
        elif line.session is not None and (line.subject, line.session) not in sessions:
            problems.append(Problem(line.number, f"subject '{line.subject}' has no session '{line.session}'"))
        elif why := unfit(line):
            problems.append(Problem(line.number, why))
        elif line.session is None:
            whole[line.subject] = subjects[line.subject]
        else:
            single[line.subject, line.session] = sessions[line.subject, line.session]
    _refuse(selection.file or "", problems)
    return list(whole.values()), list(single.values())


def _refuse(name: str, problems: Sequence[Problem]) -> None:
    """Raise UsageError with the lines that can't be used, where there are some."""
    from neuroflow.errors import UsageError

    if not problems:
        return
    shown = [f"line {problem.number}: {problem.text}" for problem in sorted(problems)[:_SHOWN_PROBLEMS]]
    more = len(problems) - _SHOWN_PROBLEMS
    what = "standard input" if name == "-" else name
    count = counted(len(problems), "line")
    raise UsageError(
        "\n".join((f"nothing was changed: {count} of {what} can't be used", *shown, *_and_more(more))),
        hint="correct the list; a line has a subject and perhaps a session, as in `sub-01 ses-a`",
    )


def _and_more(count: int) -> list[str]:
    return [f"and {count} more"] if count > 0 else []
