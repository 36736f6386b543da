"""What follows a failed attempt: a pure decision from the failure class and the pipeline's policy."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from neuroflow.config.execution import Limits
from neuroflow.config.recovery import ClassRetry, Retry
from neuroflow.domain import AttemptRecord, FailureClass, Resources, RetryDecision, RunRecord, RunStatus, Verdict

GROWTH = 1.5  # of memory after out_of_memory, of time after timeout
# Node failures and preemptions cost no attempt; a run that meets this many has another problem.
MAX_FREE_ATTEMPTS = 20

_GROWING = frozenset({FailureClass.OUT_OF_MEMORY, FailureClass.TIMEOUT})
_FINAL = {
    FailureClass.CANCELLED: "cancelled",
    FailureClass.BAD_INPUT: "bad input, a person has to look",
    FailureClass.SITE: "the site refuses it, no retry helps",
}


@dataclass(frozen=True)
class Rule:
    """What the policy says of one failure class."""

    retry: bool = True
    counts: bool = True
    delay_minutes: float | None = 0  # None: the general backoff
    growth: float = 1.0
    max_attempts: int | None = None  # None: the general number


BUILT_IN: Mapping[FailureClass, Rule] = {
    FailureClass.OUT_OF_MEMORY: Rule(growth=GROWTH),
    FailureClass.TIMEOUT: Rule(growth=GROWTH),
    FailureClass.NODE: Rule(counts=False),
    FailureClass.PREEMPTED: Rule(counts=False),
    FailureClass.APPLICATION: Rule(delay_minutes=None),
    FailureClass.NO_OUTPUT: Rule(delay_minutes=None),
    FailureClass.BAD_INPUT: Rule(retry=False),
    FailureClass.SITE: Rule(retry=False, counts=False),
    FailureClass.CANCELLED: Rule(retry=False, counts=False),
}


_FREE = Rule(counts=False)


@dataclass(frozen=True)
class RetryContext:
    """What a decision is made from."""

    run: RunRecord
    attempt: AttemptRecord
    policy: Retry
    limits: Limits
    now: datetime
    random: Callable[[], float]  # from 0 up to 1: chance, for the jitter
    half_published: bool = False  # the attempt ended while it published results that it had checked


def decide(verdict: Verdict, context: RetryContext) -> RetryDecision:
    """Return what happens to the run of a failed attempt.

    Args:
        verdict: one of kind FAILED, with its failure class.
        context: the run and attempt before this verdict was recorded.
    """
    failure = verdict.failure or FailureClass.APPLICATION
    rule = rule_for(failure, context.policy)
    if context.half_published and _spent(_FREE, context) is None:
        return _publish_the_rest(failure, verdict, context)
    if not rule.retry:
        status = RunStatus.CANCELLED if failure is FailureClass.CANCELLED else RunStatus.FAILED
        reason = _FINAL.get(failure, f"{failure}: not tried again, by the retry policy")
        return RetryDecision(status, f"{reason}: {verdict.reason}", counted=rule.counts)
    spent = _spent(rule, context)
    if spent is not None:
        return RetryDecision(
            RunStatus.FAILED, f"{failure}: given up after {spent}: {verdict.reason}", counted=rule.counts
        )
    return _again(failure, rule, verdict, context)


def _publish_the_rest(failure: FailureClass, verdict: Verdict, context: RetryContext) -> RetryDecision:
    """Let a further attempt finish a publication, whatever has ended it, scancel too: half of one helps nobody."""
    return RetryDecision(
        RunStatus.RETRY_WAIT,
        f"{failure}: its checked results are published in part, the next attempt does the rest, not counted: "
        f"{verdict.reason}",
        counted=False,
        next_attempt_at=context.now,
        resources=context.attempt.resources,
        exclude_nodes=_failed_on(failure, verdict, context.run),
    )


def rule_for(failure: FailureClass, policy: Retry) -> Rule:
    """Return what is built in for a class, with what the configuration says of it."""
    own = policy.classes.get(failure, ClassRetry())
    return replace(BUILT_IN[failure], **own.model_dump(exclude_none=True))


def backoff_minutes(policy: Retry, failures: int) -> float:
    """Return the wait before the next attempt after `failures` (>= 1) counted ones, in minutes, without jitter."""
    delay = policy.initial_delay_minutes
    if policy.exponential_backoff:
        # Doubled no further than it takes to reach any cap: a float has an end.
        delay *= 2 ** min(failures - 1, 60)
    return min(delay, policy.max_delay_minutes)


def _spent(rule: Rule, context: RetryContext) -> str | None:
    """Say which attempts are used up, or nothing while there are some left."""
    general = context.policy.max_attempts
    number = context.attempt.number
    if rule.counts:
        used, limit = context.run.attempts + 1, rule.max_attempts or general
        return f"{used} of {limit} attempts" if used >= limit else None
    limit = rule.max_attempts or general + MAX_FREE_ATTEMPTS
    return f"{number} attempts" if number >= limit else None


def _again(failure: FailureClass, rule: Rule, verdict: Verdict, context: RetryContext) -> RetryDecision:
    asked = context.attempt.resources
    request, change = _grown(failure, rule, verdict, context)
    if failure in _GROWING and request == asked:
        return RetryDecision(
            RunStatus.FAILED,
            f"{failure}: the partition's limit is reached ({change}): {verdict.reason}",
            counted=rule.counts,
        )
    minutes = _wait_minutes(rule, context)
    exclude = _failed_on(failure, verdict, context.run)
    words = _in_words(failure, rule, context, change=change, minutes=minutes, exclude=exclude)
    return RetryDecision(
        RunStatus.RETRY_WAIT,
        words if failure in _GROWING else f"{words}: {verdict.reason}",
        counted=rule.counts,
        next_attempt_at=context.now + timedelta(minutes=minutes),
        resources=request,
        exclude_nodes=exclude,
    )


def _wait_minutes(rule: Rule, context: RetryContext) -> float:
    failures = context.run.attempts + (1 if rule.counts else 0)
    delay = backoff_minutes(context.policy, max(failures, 1)) if rule.delay_minutes is None else rule.delay_minutes
    # Only ever shorter, so that max_delay_minutes stays true.
    return delay * (1 - context.policy.jitter * context.random())


def _failed_on(failure: FailureClass, verdict: Verdict, run: RunRecord) -> tuple[str, ...]:
    if failure is FailureClass.NODE and verdict.host and verdict.host not in run.exclude_nodes:
        return (*run.exclude_nodes, verdict.host)
    return run.exclude_nodes


def _in_words(
    failure: FailureClass, rule: Rule, context: RetryContext, *, change: str, minutes: float, exclude: tuple[str, ...]
) -> str:
    wait = f" in {round(minutes, 1):g} min" if minutes else ""
    if failure in _GROWING:
        return f"{failure}: again{wait} with {change}" + ("" if rule.counts else ", not counted")
    if rule.counts:
        limit = rule.max_attempts or context.policy.max_attempts
        return f"{failure}: attempt {context.run.attempts + 1} of {limit} failed, again{wait or ' at once'}"
    places = f" (it failed on {', '.join(exclude)})" if failure is FailureClass.NODE and exclude else ""
    return f"{failure}: same request again{wait}{places}, not counted"


def _grown(failure: FailureClass, rule: Rule, verdict: Verdict, context: RetryContext) -> tuple[Resources, str]:
    asked, limits = context.attempt.resources, context.limits
    if failure is FailureClass.OUT_OF_MEMORY:
        base = max(float(asked.memory_mb), verdict.max_rss_mb or 0.0)
        memory = _clipped(base * rule.growth, limits.memory_mb)
        return replace(asked, memory_mb=max(memory, asked.memory_mb)), f"{memory} MiB instead of {asked.memory_mb}"
    if failure is FailureClass.TIMEOUT:
        minutes = _clipped(asked.time_minutes * rule.growth, limits.time_minutes)
        return replace(
            asked, time_minutes=max(minutes, asked.time_minutes)
        ), f"{minutes} min instead of {asked.time_minutes}"
    return asked, "the same request"


def _clipped(value: float, limit: int | None) -> int:
    whole = math.ceil(value)
    return whole if limit is None else min(whole, limit)
