"""Verdicts: what ends an attempt, and what follows for its run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func
from sqlalchemy.orm import Session

from neuroflow.core.audit import Audit, write_audits
from neuroflow.core.moves import Cause, Locked, lock_attempts, store_attempt_move, store_run_move
from neuroflow.core.store import Store
from neuroflow.domain import (
    OPEN_ATTEMPT_STATUSES,
    OPEN_RUN_STATUSES,
    AdapterResult,
    AttemptStatus,
    FailureClass,
    RetryDecision,
    RunStatus,
    Verdict,
    VerdictKind,
)
from neuroflow.errors import StateError
from neuroflow.models import AttemptRow, RunRow


@dataclass(frozen=True)
class Ending:
    """How an attempt ended, and what follows."""

    attempt_id: int
    verdict: Verdict
    decision: RetryDecision | None  # None after a success
    result: AdapterResult | None = None
    signature: str = ""  # of the failure, shared by those that are alike
    node_image: str = ""  # the SIF id that the job saw


class VerdictState(Store):
    """End attempts."""

    def record_verdict(
        self,
        attempt_id: int,
        verdict: Verdict,
        decision: RetryDecision | None,
        result: AdapterResult | None,
        *,
        signature: str = "",
    ) -> bool:
        """End an attempt, and complete its run or move it as decided; False if the attempt had ended already.

        A run that has ended meanwhile, because someone cancelled it, stays as it is.

        Raises:
            StateError: for a verdict that ends nothing, or a failure without a decision.
        """
        return bool(self.record_verdicts([Ending(attempt_id, verdict, decision, result, signature)]))

    def record_verdicts(self, endings: Sequence[Ending]) -> dict[int, RunStatus]:
        """End many attempts in one transaction, as `record_verdict` does; return what became of their runs, by attempt.

        An attempt that had ended already is left out.

        Raises:
            StateError: for a verdict that ends nothing, or a failure without a decision; nothing is stored then.
        """
        for ending in endings:
            _check(ending.verdict, ending.decision)
        with self._write() as (session, now):
            locked = lock_attempts(session, [ending.attempt_id for ending in endings])
            return dict(_end_all(session, endings, locked, now))


def _end_all(
    session: Session, endings: Sequence[Ending], locked: Mapping[int, Locked], now: datetime
) -> Iterator[tuple[int, RunStatus]]:
    """End the attempts that are open, and give each with its run's new status."""
    audits: list[Audit] = []
    for ending in endings:
        found = locked[ending.attempt_id]
        if found.status not in OPEN_ATTEMPT_STATUSES:
            continue
        audits.append(_end(session, ending, found, now))
        if found.run_status in OPEN_RUN_STATUSES:
            audits.append(moved := _move_its_run(session, ending, found, now))
            yield ending.attempt_id, RunStatus(str(moved.after))
        else:  # someone cancelled it
            yield ending.attempt_id, found.run_status
    write_audits(session, audits)


def _end(session: Session, ending: Ending, found: Locked, now: datetime) -> Audit:
    verdict, decision = ending.verdict, ending.decision
    counted = decision.counted if decision is not None else True
    return store_attempt_move(
        session,
        ending.attempt_id,
        before=found.status,
        to=_attempt_status(verdict),
        cause=Cause(verdict.reason, now),
        values=_attempt_values(verdict, now)
        | {"counted": counted, "signature": ending.signature, "node_image": ending.node_image},
    )


def retry_values(
    decision: RetryDecision, *, failure: FailureClass | None, message: str, signature: str = ""
) -> dict[str, Any]:
    """Return what a decision changes in a run beside its status."""
    values: dict[str, Any] = {"failure": failure, "error_message": message, "signature": signature}
    if decision.counted:
        values["attempts"] = RunRow.attempts + 1
    if decision.status is RunStatus.RETRY_WAIT:
        values["next_attempt_at"] = decision.next_attempt_at
        values["exclude_nodes"] = decision.exclude_nodes
        if decision.resources is not None:
            values["resources"] = decision.resources
    return values


def _check(verdict: Verdict, decision: RetryDecision | None) -> None:
    if verdict.kind not in (VerdictKind.SUCCEEDED, VerdictKind.FAILED):
        raise StateError(f"a verdict of kind {verdict.kind} ends no attempt; record a sighting instead", hint="")
    if verdict.kind is VerdictKind.FAILED and decision is None:
        raise StateError("a failed attempt needs a decision: retry_wait, failed or cancelled", hint="")


def _attempt_status(verdict: Verdict) -> AttemptStatus:
    if verdict.kind is VerdictKind.SUCCEEDED:
        return AttemptStatus.SUCCEEDED
    return AttemptStatus.CANCELLED if verdict.failure is FailureClass.CANCELLED else AttemptStatus.FAILED


def _attempt_values(verdict: Verdict, now: datetime) -> dict[str, Any]:
    values: dict[str, Any] = {
        "failure": verdict.failure,
        "message": verdict.reason,
        "exit_code": verdict.exit_code,
        "signal": verdict.signal,
        "max_rss_mb": verdict.max_rss_mb,
        "cpu_seconds": verdict.cpu_seconds,
        "elapsed_seconds": verdict.elapsed_seconds,
        "ended_at": verdict.ended_at or now,
    }
    if verdict.started_at is not None:
        values["started_at"] = verdict.started_at
    if verdict.host:
        values["host"] = verdict.host
    if verdict.job_word:
        values["job_word"] = verdict.job_word
    if verdict.job_id is not None:
        values["job_id"] = func.coalesce(AttemptRow.job_id, verdict.job_id)
    return values


def _move_its_run(session: Session, ending: Ending, found: Locked, now: datetime) -> Audit:
    verdict, decision, result = ending.verdict, ending.decision, ending.result
    values: dict[str, Any] = {}
    if verdict.started_at is not None:
        values["started_at"] = func.coalesce(RunRow.started_at, verdict.started_at)
    if result is not None:
        values |= {"metrics": result.metrics, "output_path": result.output_path}
    if decision is None or verdict.kind is VerdictKind.SUCCEEDED:
        to, reason = RunStatus.COMPLETED, verdict.reason
        values["attempts"] = RunRow.attempts + 1
    else:
        to, reason = decision.status, decision.reason
        message = (result.error_message if result is not None else None) or verdict.reason
        values |= retry_values(decision, failure=verdict.failure, message=message, signature=ending.signature)
    cause = Cause(reason, now)
    return store_run_move(session, found.run_id, before=found.run_status, to=to, cause=cause, values=values)
