"""What follows a failed attempt: a pure decision from the failure class and the pipeline's policy."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from neuroflow.config.execution import Limits
from neuroflow.config.sections import Retry
from neuroflow.domain import AttemptRecord, FailureClass, Resources, RetryDecision, RunRecord, RunStatus, Verdict

GROWTH = 1.5  # of memory after out_of_memory, of time after timeout
# Node failures and preemptions cost no attempt; a run that meets this many has another problem.
MAX_FREE_ATTEMPTS = 20


@dataclass(frozen=True)
class RetryContext:
    """What a decision is made from."""

    run: RunRecord
    attempt: AttemptRecord
    policy: Retry
    limits: Limits
    now: datetime


def decide(verdict: Verdict, context: RetryContext) -> RetryDecision:
    """Return what happens to the run of a failed attempt.

    Args:
        verdict: one of kind FAILED, with its failure class.
        context: the run and attempt before this verdict was recorded.
    """
    failure = verdict.failure or FailureClass.APPLICATION
    if failure is FailureClass.CANCELLED:
        return RetryDecision(RunStatus.CANCELLED, f"cancelled: {verdict.reason}", counted=False)
    if failure is FailureClass.BAD_INPUT:
        return RetryDecision(RunStatus.FAILED, f"bad input, a person has to look: {verdict.reason}", counted=True)
    if failure is FailureClass.SITE:
        return RetryDecision(RunStatus.FAILED, f"the site refuses it, no retry helps: {verdict.reason}", counted=False)
    if failure in (FailureClass.NODE, FailureClass.PREEMPTED):
        return _free_retry(failure, verdict, context)
    return _counted_retry(failure, verdict, context)


def backoff_minutes(policy: Retry, failures: int) -> float:
    """Return the wait before the next attempt after `failures` (>= 1) counted ones, in minutes."""
    delay = policy.initial_delay_minutes
    if policy.exponential_backoff:
        delay *= 2 ** (failures - 1)
    return min(delay, policy.max_delay_minutes)


def _free_retry(failure: FailureClass, verdict: Verdict, context: RetryContext) -> RetryDecision:
    if context.attempt.number >= context.policy.max_attempts + MAX_FREE_ATTEMPTS:
        return RetryDecision(
            RunStatus.FAILED,
            f"{failure}: given up after {context.attempt.number} attempts: {verdict.reason}",
            counted=False,
        )
    exclude = context.run.exclude_nodes
    if failure is FailureClass.NODE and verdict.host and verdict.host not in exclude:
        exclude = (*exclude, verdict.host)
    elsewhere = f" (not on {', '.join(exclude)})" if exclude else ""
    return RetryDecision(
        RunStatus.RETRY_WAIT,
        f"{failure}: same request again{elsewhere}, not counted: {verdict.reason}",
        counted=False,
        next_attempt_at=context.now,
        resources=context.attempt.resources,
        exclude_nodes=exclude,
    )


def _counted_retry(failure: FailureClass, verdict: Verdict, context: RetryContext) -> RetryDecision:
    used = context.run.attempts + 1
    if used >= context.policy.max_attempts:
        return RetryDecision(
            RunStatus.FAILED,
            f"{failure}: given up after {used} of {context.policy.max_attempts} attempts: {verdict.reason}",
            counted=True,
        )
    asked = context.attempt.resources
    request, change = _grown(failure, asked, verdict, context.limits)
    if failure in (FailureClass.OUT_OF_MEMORY, FailureClass.TIMEOUT):
        if request == asked:
            return RetryDecision(
                RunStatus.FAILED,
                f"{failure}: the partition's limit is reached ({change}): {verdict.reason}",
                counted=True,
            )
        return RetryDecision(
            RunStatus.RETRY_WAIT,
            f"{failure}: again with {change}",
            counted=True,
            next_attempt_at=context.now,
            resources=request,
            exclude_nodes=context.run.exclude_nodes,
        )
    minutes = backoff_minutes(context.policy, used)
    return RetryDecision(
        RunStatus.RETRY_WAIT,
        f"{failure}: attempt {used} of {context.policy.max_attempts} failed, again in {minutes:g} min: "
        f"{verdict.reason}",
        counted=True,
        next_attempt_at=context.now + timedelta(minutes=minutes),
        resources=asked,
        exclude_nodes=context.run.exclude_nodes,
    )


def _grown(failure: FailureClass, asked: Resources, verdict: Verdict, limits: Limits) -> tuple[Resources, str]:
    if failure is FailureClass.OUT_OF_MEMORY:
        base = max(float(asked.memory_mb), verdict.max_rss_mb or 0.0)
        memory = _clipped(base * GROWTH, limits.memory_mb)
        return replace(asked, memory_mb=max(memory, asked.memory_mb)), f"{memory} MiB instead of {asked.memory_mb}"
    if failure is FailureClass.TIMEOUT:
        minutes = _clipped(asked.time_minutes * GROWTH, limits.time_minutes)
        return replace(
            asked, time_minutes=max(minutes, asked.time_minutes)
        ), f"{minutes} min instead of {asked.time_minutes}"
    return asked, "the same request"


def _clipped(value: float, limit: int | None) -> int:
    whole = math.ceil(value)
    return whole if limit is None else min(whole, limit)
