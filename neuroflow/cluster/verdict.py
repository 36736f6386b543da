"""Judge an attempt by its witnesses: squeue, sacct and the exit record, which knows of the declared outputs.

published, exit code 0                    SUCCEEDED, whatever SLURM says
squeue lists it: waiting, requeued        PENDING
squeue lists it: anything else            RUNNING, until it has been ENDING for the grace period
exit record of a failure                  FAILED, once SLURM's final word is there or the grace is over
no exit record, SLURM's final state       FAILED after the grace (a record may arrive late)
nothing                                   as it was within the grace, then UNKNOWN
squeue did not answer                     as it was: silence proves nothing
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from neuroflow.cluster import failure
from neuroflow.cluster.query import is_listed
from neuroflow.cluster.states import ENDED_STATES
from neuroflow.domain import (
    AttemptRecord,
    AttemptStatus,
    ExitRecord,
    FailureClass,
    JobState,
    QueueRow,
    Sighting,
    Verdict,
    VerdictKind,
)

_WAITING = (JobState.PENDING, JobState.REQUEUED)


def judge(attempt: AttemptRecord, sighting: Sighting, *, now: datetime, grace_seconds: float) -> Verdict:
    """Return what the evidence says of an attempt.

    Args:
        grace_seconds: how long accounting, and files on a network file system, may lag.
    """
    return _Case(attempt, sighting, now, timedelta(seconds=grace_seconds)).verdict()


class _Case:
    """One attempt before its judge."""

    def __init__(self, attempt: AttemptRecord, sighting: Sighting, now: datetime, grace: timedelta) -> None:
        self.attempt = attempt
        self.sighting = sighting
        self.record = sighting.exit_record
        self.now = now
        self.grace = grace
        self.source = "SLURM" if attempt.where == "slurm" else "this machine"

    def verdict(self) -> Verdict:
        record, row = self.record, self.sighting.queue
        if record is not None and is_success(record):
            return self._say(VerdictKind.SUCCEEDED, self._success_reason(record))
        if row is not None and is_listed(row) and not self._is_stuck_ending(row):
            return self._listed(row)
        if not self.sighting.queue_answered:
            return replace(self._as_it_was("squeue did not answer"), seen=False)
        state = self._final_state()
        if record is not None:
            return self._failed_with_record(record, state)
        if state is not None:
            return self._ended_without_record(state)
        return self._not_known()

    def _listed(self, row: QueueRow) -> Verdict:
        if row.state in _WAITING:
            return self._say(
                VerdictKind.PENDING, f"{self.source}: {row.word}" + (f" ({row.reason})" if row.reason else "")
            )
        if row.state is JobState.UNRECOGNISED:
            return self._as_it_was(f"SLURM says '{row.word}', a state that neuroflow does not know")
        return self._say(VerdictKind.RUNNING, f"{self.source}: {row.word}")

    def _is_stuck_ending(self, row: QueueRow) -> bool:
        """A node may hang in COMPLETING for hours after the job has left its record."""
        return row.state is JobState.ENDING and self.record is not None and self._is_over(self._ended_at())

    def _failed_with_record(self, record: ExitRecord, state: JobState | None) -> Verdict:
        if state is None and not self._is_over(self._ended_at()):
            waiting = "the job has left a record of its failure; SLURM's own word is awaited"
            return replace(self._say(VerdictKind.RUNNING, waiting), seen=False)
        kind, reason = failure.of_record(self.attempt, record, state, self._memory())
        return self._say(VerdictKind.FAILED, reason, kind)

    def _ended_without_record(self, state: JobState) -> Verdict:
        never_started = self.sighting.accounting is not None and self.sighting.accounting.elapsed_seconds == 0
        if not never_started and not self._is_over(self._ended_at()):
            waiting = f"{self.source} says {self._word()}; the job's exit record is awaited"
            return replace(self._as_it_was(waiting), seen=False)
        row = self.sighting.accounting
        kind, reason = failure.of_state(
            self.attempt, state, word=self._word(), killed_by=row.signal if row else None, rss=self._memory()
        )
        return self._say(VerdictKind.FAILED, reason, kind)

    def _not_known(self) -> Verdict:
        word = self._word()
        asked = "squeue and sacct do" if self.sighting.accounting_answered else f"{self.source} does"
        reason = f"{asked} not list it" + (f", though its last word is {word}" if word else "")
        if not self._is_over(self._last_known()):
            return replace(self._as_it_was(reason), seen=False)
        return replace(self._say(VerdictKind.UNKNOWN, reason + "; it left no exit record"), seen=False)

    def _final_state(self) -> JobState | None:
        row, listed = self.sighting.accounting, self.sighting.queue
        if row is not None and row.state in ENDED_STATES:
            return row.state
        # squeue's word comes first, but says FAILED where sacct will know that a step was out of memory.
        may_come = self.sighting.accounting_answered and not self._is_over(self._ended_at())
        return listed.state if listed is not None and listed.state in ENDED_STATES and not may_come else None

    def _success_reason(self, record: ExitRecord) -> str:
        state = self._final_state()
        if state in (None, JobState.COMPLETED):
            return "exit code 0, all declared outputs are there"
        return f"exit code 0, all declared outputs are there, although {self.source} says {self._word()}"

    def _as_it_was(self, reason: str) -> Verdict:
        kind = VerdictKind.RUNNING if self.attempt.status is AttemptStatus.RUNNING else VerdictKind.PENDING
        return self._say(kind, reason)

    def _is_over(self, since: datetime) -> bool:
        return self.now - since >= self.grace

    def _ended_at(self) -> datetime:
        """The latest end that a witness names, or else when the attempt was last known."""
        rows = (self.record, self.sighting.accounting, self.sighting.queue)
        stamps = [row.ended_at for row in rows if row is not None]
        known = [_moment(stamp) for stamp in stamps if stamp is not None]
        # A node's clock may run ahead: an end in the future must not keep the attempt open.
        return max((end for end in known if end <= self.now), default=self._last_known())

    def _last_known(self) -> datetime:
        attempt = self.attempt
        return attempt.last_seen_at or attempt.submitted_at or attempt.created_at

    def _memory(self) -> float | None:
        row = self.sighting.accounting
        measured = (self.record.max_rss_mb if self.record else None, row.max_rss_mb if row else None)
        return max((size for size in measured if size is not None), default=None)

    def _word(self) -> str:
        row = self.sighting.accounting or self.sighting.queue
        return row.word if row else ""

    def _say(self, kind: VerdictKind, reason: str, why: FailureClass | None = None) -> Verdict:
        record, accounted, row = self.record, self.sighting.accounting, self.sighting.queue
        verdict = Verdict(
            kind=kind,
            reason=reason,
            failure=why,
            job_id=self.attempt.job_id,
            job_word=self._word() or self.attempt.job_word,
        )
        if accounted is not None:
            verdict = replace(verdict, job_id=accounted.job_id, host=accounted.nodes)
        if row is not None:
            verdict = replace(verdict, job_id=row.job_id)
        if kind in (VerdictKind.PENDING, VerdictKind.RUNNING, VerdictKind.UNKNOWN):
            return verdict
        if record is None:
            if accounted is None:
                return verdict
            ended = None if accounted.ended_at is None else _moment(accounted.ended_at)
            return replace(
                verdict,
                exit_code=accounted.exit_code,
                signal=accounted.signal,
                max_rss_mb=accounted.max_rss_mb,
                ended_at=ended,
            )
        return replace(
            verdict,
            exit_code=record.exit_code,
            signal=record.signal,
            max_rss_mb=self._memory(),
            host=verdict.host or record.host,
            started_at=_moment(record.started_at),
            ended_at=_moment(record.ended_at),
            job_id=record.job_id,
        )


def is_success(record: ExitRecord) -> bool:
    """Tell whether a record says that the tool succeeded and its checked results are published."""
    return record.exit_code == 0 and record.published and not record.missing_outputs


def _moment(stamp: float) -> datetime:
    return datetime.fromtimestamp(stamp, UTC)
