"""Read the words of `neuroflow why`: a subject, a session, a pipeline, in any order that can be told apart."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from neuroflow.domain import Level, RunRecord, SessionRecord, SubjectRecord, is_label
from neuroflow.errors import NotFoundError, UsageError
from neuroflow.views.why import Question

if TYPE_CHECKING:
    from neuroflow.orchestrator.services import Services

_RUN = re.compile(r"[1-9]\d{0,17}", re.ASCII)
_HINT = "such as `neuroflow why sub-01`, `neuroflow why sub-01 ses-a qsiprep` or `neuroflow why --run 12`"


@dataclass
class _Words:
    """What each word is, before anything is looked up."""

    subject: str | None = None
    session: str | None = None
    pipeline: str | None = None
    number: int | None = None


def read_question(services: Services, words: Sequence[str], *, run_id: int | None) -> Question:
    """Return what is asked.

    Raises:
        UsageError: when the words can't be told apart, or nothing is asked.
        NotFoundError: when the subject, session, pipeline or run is not there.
    """
    if run_id is not None:
        if words:
            raise UsageError(f"--run {run_id} tells the subject, session and pipeline; leave {' '.join(words)!r} out")
        return _of_run(services, services.state.get_run(run_id))
    found = _sorted(services, words)
    if found.subject is None:
        raise UsageError("no subject is named", hint=_HINT)
    # A number with zeros in front is a label: no run is called so.
    if len(words) == 1 and words[0] == found.subject and _RUN.fullmatch(found.subject):
        run = _run_of_that_number(services, found.subject)
        if run is not None:
            return _of_run(services, run)
    subject = services.state.get_subject(found.subject)
    session = _session(services, subject, found.session, prefixed=f"ses-{found.session}" in words)
    return Question(subject, session=session, pipeline=found.pipeline)


def _sorted(services: Services, words: Sequence[str]) -> _Words:
    """Tell what each word is: by its prefix, by the names of the pipelines, or else by its place."""
    found = _Words()
    parts = [part for word in words for part in word.split("/") if part]
    for part in parts:
        if part in services.registry.names():
            _take(found, "pipeline", part, part)
        elif part.startswith("sub-"):
            _take(found, "subject", part.removeprefix("sub-"), part)
        elif part.startswith("ses-"):
            _take(found, "session", part.removeprefix("ses-"), part)
        elif not is_label(part):
            services.registry.get(part)  # says that there is none, and which is near
        elif found.subject is None:
            found.subject = part
        else:
            if found.session is not None and difflib.get_close_matches(part, services.registry.names(), n=1):
                services.registry.get(part)  # says which pipeline is near
            _take(found, "session", part, part)
    return found


def _take(found: _Words, name: str, value: str, word: str) -> None:
    if getattr(found, name) is not None:
        raise UsageError(f"'{word}' is a second {name}; `why` answers for one {name} at a time", hint=_HINT)
    if name != "pipeline" and not is_label(value):
        raise UsageError(f"'{word}' is no {name}: a label has letters and digits only")
    setattr(found, name, value)


def _session(services: Services, subject: SubjectRecord, label: str | None, *, prefixed: bool) -> SessionRecord | None:
    if label is None:
        return None
    found = services.state.find_session(subject.label, label)
    if found is not None:
        return found
    labels = [record.label for record in services.state.list_sessions(subject=subject.label)]
    near = difflib.get_close_matches(
        label, [*labels, *(() if prefixed else services.registry.names())], n=1, cutoff=0.5
    )
    guess = f". Did you mean '{near[0]}'?" if near else ""
    pipelines = "" if prefixed else f"; pipelines are: {', '.join(services.registry.names())}"
    raise NotFoundError(
        f"subject '{subject.label}' has no session '{label}'{guess}",
        hint=f"its sessions are: {', '.join(labels) or 'none'}{pipelines}",
    )


def _run_of_that_number(services: Services, number: str) -> RunRecord | None:
    """Return the run that a bare number means: where no subject is called so.

    Raises:
        NotFoundError: when it is neither.
    """
    try:
        services.state.get_subject(number)
        return None
    except NotFoundError as no_subject:
        try:
            return services.state.get_run(int(number))
        except NotFoundError as no_run:
            guess = re.search(r"\. Did you mean .*", str(no_subject))
            message = f"'{number}' is neither a subject nor a run{guess[0] if guess else ''}"
            raise NotFoundError(message, hint=f"runs: {no_run.hint}") from None


def _of_run(services: Services, run: RunRecord) -> Question:
    subject = services.state.get_subject(run.subject)
    level = services.registry.get(run.pipeline).level
    session = services.state.get_session(run.session_id) if run.session_id is not None else None
    return Question(subject, session=session if level is Level.SESSION else None, pipeline=run.pipeline, run=run)
