"""Repeat a SLURM call at once, a few times, where that can do no harm: tenacity with our own question."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from neuroflow.errors import CommandError, HostUnreachable, SubmissionRefused

log = structlog.get_logger(__name__)

T = TypeVar("T")

# Together under half a minute: a task has other things to do, and the next look at the database comes soon.
ATTEMPTS = 3
FIRST_WAIT_SECONDS = 2.0
LONGEST_WAIT_SECONDS = 10.0


def submission_is_safe(error: BaseException) -> bool:
    """Tell whether sbatch may be called again now: it never reached the controller.

    Not after a refusal for a limit, which waits for the next look at the queue; and never after an answer that leaves
    open whether the job exists: its name is looked up first.
    """
    return isinstance(error, SubmissionRefused) and error.unreachable


def idempotent_is_safe(error: BaseException) -> bool:
    """Tell whether a call that changes nothing the second time, such as scancel, may be made again now."""
    if isinstance(error, HostUnreachable):
        return not error.lasting
    return isinstance(error, CommandError) and error.returncode != 127  # not where the program is missing


def repeated(
    call: Callable[[], T], *, safe: Callable[[BaseException], bool], sleep: Callable[[float], None] = time.sleep
) -> T:
    """Return the answer of the first call that succeeds, or raise the last call's error."""
    retrying = Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random_exponential(multiplier=FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS),
        retry=retry_if_exception(safe),
        sleep=sleep,
        before_sleep=_say,
        reraise=True,
    )
    return retrying(call)


def _say(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome is not None else None
    wait = state.next_action.sleep if state.next_action is not None else 0.0
    log.warning("slurm.repeated", error=str(error), attempt=state.attempt_number, wait_seconds=round(wait, 1))
