"""How a run failed: the class in words, its attempts and what was changed, and what can mend it."""

from __future__ import annotations

import re
from itertools import pairwise

from neuroflow.domain import AttemptRecord, FailureClass, Level, RunRecord, folder_gone
from neuroflow.views.why_answer import AttemptAnswer, FailureAnswer, Next
from neuroflow.views.why_facts import Facts
from neuroflow.views.why_words import FAILURES, changes

_NO_ROOM = re.compile(r"No space left on device|Disk quota exceeded|EDQUOT|ENOSPC", re.IGNORECASE)
_NO_FOLDER = "there was nothing to convert"
_NO_ROOM_NOTE = "the disk, or the quota, is full: make room, then have it run again"


def attempts_of(tried: list[AttemptRecord]) -> tuple[AttemptAnswer, ...]:
    """Return attempts with what was changed from each to the next."""
    pairs = [(None, one) for one in tried[:1]] + list(pairwise(tried))
    return tuple(
        AttemptAnswer(
            number=one.number,
            status=str(one.status),
            where=one.where,
            job=one.job_id,
            host=one.host,
            started_at=one.started_at,
            ended_at=one.ended_at,
            request=one.resources,
            counted=one.counted,
            failure=one.failure,
            message=one.message,
            signature=one.signature,
            changed=changes(before, one),
        )
        for before, one in pairs
    )


def failure_of(run: RunRecord, facts: Facts) -> FailureAnswer | None:
    """Return how a run failed last, None where it did not."""
    latest = facts.latest(run)
    failure = run.failure or (latest.failure if latest is not None else None)
    if failure is None:
        return None
    message = run.error_message or (latest.message if latest is not None else "") or run.reason
    return FailureAnswer(
        failure=failure,
        in_words=_NO_FOLDER if folder_gone(message) else FAILURES[failure],
        message=message,
        signature=run.signature,
        alike=facts.services.state.failed_alike(run),
        note=_NO_ROOM_NOTE if _NO_ROOM.search(message) else "",
    )


def mend(run: RunRecord, failure: FailureAnswer | None, facts: Facts) -> Next:
    """Return what a person can do about a run that failed for good."""
    if run.resolution:
        text = f"nothing: a person settled it ({run.resolution})"
        return Next(text, commands=(retry_command(run),))
    kind = failure.failure if failure is not None else FailureClass.APPLICATION
    text, commands = _advice(kind, run) if run.scope not in facts.gone_folders else _without_folder(kind, run)
    if run.pipeline in facts.holds:
        commands += (f"neuroflow pipeline resume {run.pipeline}",)
    commands += (retry_command(run),)
    return Next(f"nothing by itself; {text}", needs_person=True, commands=commands)


def retry_command(run: RunRecord) -> str:
    """Return the command that has a run run again."""
    return f'neuroflow runs retry {run.id} --reason "..."'


def no_room(text: str) -> str:
    """Return what to say of a log in which the disk was full, empty for others."""
    return _NO_ROOM_NOTE if _NO_ROOM.search(text) else ""


def _without_folder(kind: FailureClass, run: RunRecord) -> tuple[str, tuple[str, ...]]:
    if kind is not FailureClass.BAD_INPUT or run.level is not Level.SESSION:
        return _advice(kind, run)
    exclude = f'neuroflow session exclude {run.subject} {run.session} --reason "..."'
    return "put its folder back, then run it again, or take the session out", (exclude,)


def _advice(kind: FailureClass, run: RunRecord) -> tuple[str, tuple[str, ...]]:
    logs = (f"neuroflow logs {run.id} --stderr",)
    session = f"{run.subject} {run.session}"
    if kind is FailureClass.BAD_INPUT and run.level is Level.SESSION:
        return (
            "mend its files, which the next scan sees, or take the session out",
            (f"neuroflow session show {session}", f'neuroflow session exclude {session} --reason "..."'),
        )
    if kind is FailureClass.OUT_OF_MEMORY:
        return f"allow it more memory (pipelines.{run.pipeline}.memory_mb, cluster.limits), then run it again", ()
    if kind is FailureClass.TIMEOUT:
        return f"allow it more time (pipelines.{run.pipeline}.time_minutes, cluster.limits), then run it again", ()
    if kind is FailureClass.SITE:
        return "mend the site's set-up, then run it again", ("neuroflow doctor",)
    if kind is FailureClass.CANCELLED:
        return "it stays so until a person asks for it", ()
    return "look at its log, mend what it names, then run it again", logs
