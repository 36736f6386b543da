"""Print the answer of `neuroflow why`: a paragraph for each session that is not ready, and for each pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from neuroflow.cli.output import escaped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from neuroflow.views.why_answer import AttemptAnswer, FailureAnswer, Next, PlaceAnswer, SessionAnswer, Why

_COLOURS = {
    "completed": "green",
    "running": "cyan",
    "queued": "cyan",
    "failed": "red",
    "blocked": "red",
    "cancelled": "yellow",
    "retrying": "yellow",
}
_BY_SESSION = frozenset({"excluded", "invalid", "settling"})
_INDENT = "  "
_COMMAND = f"{_INDENT}   do: "
_QUOTED = f"{_INDENT}| "
_LEAST_WIDTH = 40


def write_why(answer: Why) -> None:
    """Write an answer for people."""
    for note in (*answer.life.notes, *answer.notes):
        _line(f"note: {note}", colour="yellow")
    blocks = [
        *(_session(one) for one in answer.sessions if _is_told(one)),
        *(_place(one) for one in answer.pipelines),
    ]
    commands: set[str] = set()
    for block in blocks:
        for number, (text, colour) in enumerate(block):
            # What mends the first of a chain mends those behind it: it is said once.
            if text.startswith(_COMMAND) and text in commands:
                continue
            commands.add(text)
            _line(text, colour=colour, bold=number == 0)
    _line(_clock(answer))


def _is_told(session: SessionAnswer) -> bool:
    """Tell whether there is more to a session than that it is ready."""
    return session.next is not None or session.folder_is_gone or (bool(session.problems) and session.problems_matter)


def _line(text: str, *, colour: str | None = None, bold: bool = False) -> None:
    # click takes the colours out again where no terminal reads them.
    for part in _wrapped(escaped(text)):
        click.echo(click.style(part, fg=colour, bold=bold) if colour or bold else part)


def _wrapped(text: str) -> list[str]:
    """Fold a text at the terminal's width; what is copied, and what a program reads, stays whole."""
    import shutil
    import sys
    import textwrap

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    if len(text) <= width or width < _LEAST_WIDTH or text.startswith((_COMMAND, _QUOTED)):
        return [text]
    indent = " " * (len(text) - len(text.lstrip())) + 2 * _INDENT
    return textwrap.wrap(
        text,
        width,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
        drop_whitespace=True,
    )


Line = tuple[str, str | None]


def _session(answer: SessionAnswer) -> Iterator[Line]:
    yield f"session {answer.scope}: {answer.status} since {_moment(answer.since)}", None
    yield f"{_INDENT}reason: {answer.reason or 'none given'}", None
    if answer.folder_is_gone:
        yield f"{_INDENT}its folder is not there: {answer.folder}", "yellow"
    else:
        yield f"{_INDENT}folder: {answer.folder or 'none'}", None
    for problem in answer.problems if answer.problems_matter else ():
        yield f"{_INDENT}problem: {problem}", "yellow"
    if answer.next is not None:
        yield from _next(answer.next)


def _place(answer: PlaceAnswer) -> Iterator[Line]:
    run = f" (run {answer.run})" if answer.run is not None else ""
    yield f"{answer.pipeline} of {answer.scope}{run}: {answer.state}", _COLOURS.get(answer.state)
    yield f"{_INDENT}{answer.summary}", None
    if answer.covers:
        yield f"{_INDENT}covers: {', '.join(answer.covers)}", None
    if answer.output_path:
        yield f"{_INDENT}results: {next(iter(answer.results), answer.output_path)}", None
    if answer.former_results is not None:
        until = "" if answer.state == "nothing" else " until new ones are complete"
        yield f"{_INDENT}results: those of run {answer.former_results} stay as they are{until}", None
    if answer.failure is not None:
        yield from _failure(answer.failure)
    if len(answer.attempts) > 1 or answer.failure is not None:
        for attempt in answer.attempts:
            yield from _attempt(attempt, failure=answer.failure)
    # What comes next for a session stands with the session, above.
    if answer.state != "completed" and not {cause.kind for cause in answer.causes} & _BY_SESSION:
        yield from _next(answer.next)


def _failure(failure: FailureAnswer) -> Iterator[Line]:
    yield f"{_INDENT}class: {failure.failure}", None
    if failure.lines:
        yield f"{_INDENT}log: {failure.log}", None
        yield from ((f"{_INDENT}| {line}", None) for line in failure.lines)
    for crash in failure.crash_files:
        yield f"{_INDENT}crash file: {crash.path}", None
        yield from ((f"{_INDENT}| {line}", None) for line in crash.lines)
    if failure.note:
        yield f"{_INDENT}note: {failure.note}", "yellow"
    if failure.alike:
        runs = "1 other run" if failure.alike == 1 else f"{failure.alike} other runs"
        show = f"`neuroflow recovery show {failure.signature}`"
        again = f"`neuroflow recovery retry-all --signature {failure.signature}` runs all of them again"
        yield f"{_INDENT}alike: {runs} failed so; {show} lists them, {again}", None


def _attempt(attempt: AttemptAnswer, *, failure: FailureAnswer | None) -> Iterator[Line]:
    from neuroflow.views.why_words import request, short, span

    parts = [attempt.status if attempt.failure is None else str(attempt.failure)]
    if attempt.job:
        parts[0] += f", job {attempt.job}"
    if attempt.host:
        parts[0] += f" on {attempt.host}"
    if attempt.started_at is not None and attempt.ended_at is not None:
        parts[0] += f" after {span((attempt.ended_at - attempt.started_at).total_seconds())}"
    parts.append(attempt.changed or request(attempt.request))
    if attempt.failure is not None and not attempt.counted:
        parts.append("does not count")
    is_told = failure is not None and (
        attempt.message == failure.message or attempt.signature == failure.signature != ""
    )
    message = "" if is_told or not attempt.message else f": {short(attempt.message)}"
    yield f"{_INDENT}attempt {attempt.number}: {'; '.join(parts)}{message}", None


def _next(following: Next) -> Iterator[Line]:
    yield f"{_INDENT}next: {following.text}", None
    for command in following.commands:
        yield f"{_COMMAND}{command}", "cyan"


def _clock(answer: Why) -> str:
    life = answer.life
    times = (
        ("last poll", life.last_poll),
        ("next poll", life.next_poll),
        ("next scan", life.next_scan),
        ("next workflow pass", life.next_pass),
    )
    known = [
        f"{name} {_moment(time) if time != answer.at else 'is due now'}" for name, time in times if time is not None
    ]
    return "; ".join([f"now {_moment(answer.at)}", *known])


def _moment(time: object) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
