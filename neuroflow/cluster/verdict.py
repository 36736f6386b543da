"""Judge an attempt by its witnesses: squeue, sacct and the exit record, which knows of the declared outputs.

published, exit code 0                    SUCCEEDED, whatever SLURM says
squeue lists it: held after a bad launch  FAILED: the node's fault
squeue lists it: waiting, requeued        PENDING
squeue lists it: anything else            RUNNING, until it has been ENDING for the grace period
exit record of a failure                  FAILED, once SLURM's final word is there or the grace is over
no exit record, SLURM's final state       FAILED after the grace (a record may arrive late)
its claim is revoked, no job is listed    FAILED, cancelled: it never ran, and never will
nothing                                   as it was within the grace, then UNKNOWN
squeue did not answer                     as it was: silence proves nothing
sacct did not answer                      squeue's final word counts after the grace, but for FAILED, which sacct may
                                          know better; without one the attempt stays open until sacct is back
the site has no accounting                squeue's final word counts at once; else as if sacct knew nothing
"""

from __future__ import annotations

import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from neuroflow.cluster import failure
from neuroflow.cluster.queue_query import is_listed
from neuroflow.cluster.states import ENDED_STATES
from neuroflow.domain import (
    AccountingRow,
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
# SLURM puts the job back into the queue and holds it there until an admin comes: on other nodes it may run at once.
_LAUNCH_FAILED = "launch failed requeued held"


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
        self.record = record_of_last_life(sighting)
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
        if self.sighting.revoked:
            # SLURM keeps no trace of an array's element that was cancelled while it waited.
            reason = "its token was revoked before any job had claimed it, and SLURM lists none"
            return self._say(VerdictKind.FAILED, reason, FailureClass.CANCELLED)
        return self._not_known()

    def _listed(self, row: QueueRow) -> Verdict:
        if row.state in _WAITING and row.reason.replace("_", " ").lower() == _LAUNCH_FAILED:
            reason = f"the job could not be launched, and {self.source} holds it since then ({row.reason})"
            return self._say(VerdictKind.FAILED, reason, FailureClass.NODE)
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
        if state is None and (self.sighting.accounting_silent or not self._is_over(self._ended_at())):
            silence = ", and sacct did not answer" if self.sighting.accounting_silent else ""
            waiting = f"the job has left a record of its failure; SLURM's own word is awaited{silence}"
            return replace(self._say(VerdictKind.RUNNING, waiting), seen=False)
        kind, reason = failure.of_record(
            self.attempt, record, state, self._memory(), over_memory=self.sighting.over_memory
        )
        return self._say(VerdictKind.FAILED, reason, kind)

    def _ended_without_record(self, state: JobState) -> Verdict:
        row = self.sighting.accounting
        never_started = row is not None and row.elapsed_seconds == 0 and row.started_at is None
        if not never_started and not self._is_over(self._ended_at()):
            waiting = f"{self.source} says {self._word()}; the job's exit record is awaited"
            return replace(self._as_it_was(waiting), seen=False)
        kind, reason = failure.of_state(
            self.attempt,
            state,
            word=self._word(),
            killed_by=_killed_by(row) if row else None,
            rss=self._memory(),
            over_memory=self.sighting.over_memory,
        )
        return self._say(VerdictKind.FAILED, reason, kind)

    def _not_known(self) -> Verdict:
        word = self._word()
        reason = self._who_is_silent() + (f", though its last word is {word}" if word else "")
        if not self._is_over(self._last_known()):
            return replace(self._as_it_was(reason), seen=False)
        return replace(self._say(VerdictKind.UNKNOWN, reason + "; it left no exit record"), seen=False)

    def _who_is_silent(self) -> str:
        if self.attempt.where != "slurm":
            return "this machine does not list it"
        if self.sighting.accounting_answered:
            return "squeue and sacct do not list it"
        if self.sighting.accounting_silent:
            return (
                "sacct did not answer" if self.sighting.queue else "squeue does not list it, and sacct did not answer"
            )
        return "squeue does not list it, and this site has no accounting"

    def _final_state(self) -> JobState | None:
        row, listed = self.sighting.accounting, self.sighting.queue
        if row is not None and row.state in ENDED_STATES:
            return row.state
        if listed is None or listed.state not in ENDED_STATES:
            return None
        # squeue's word comes first, but says FAILED where sacct will know that a step was out of memory.
        seen = self.sighting
        if (seen.accounting_answered or seen.accounting_silent) and not self._is_over(self._ended_at()):
            return None
        if seen.accounting_silent and listed.state is JobState.FAILED and self.record is None:
            return None
        return listed.state

    def _success_reason(self, record: ExitRecord) -> str:
        state = self._final_state()
        reason = "exit code 0, all declared outputs are there"
        if record.results_of:
            reason += f": those of {record.results_of}, whose publication was interrupted and is finished now"
        return (
            reason if state in (None, JobState.COMPLETED) else f"{reason}, although {self.source} says {self._word()}"
        )

    def _as_it_was(self, reason: str) -> Verdict:
        kind = VerdictKind.RUNNING if self.attempt.status is AttemptStatus.RUNNING else VerdictKind.PENDING
        return self._say(kind, reason)

    def _is_over(self, since: datetime) -> bool:
        return self.now - since >= self.grace

    def _ended_at(self) -> datetime:
        """The latest end that a witness names, or else when the attempt was last known."""
        rows = (self.record, self.sighting.accounting, self.sighting.queue)
        stamps = [row.ended_at for row in rows if row is not None]
        known = [end for stamp in stamps if (end := _moment(stamp)) is not None]
        # A node's clock may run ahead: an end in the future must not keep the attempt open.
        return max((end for end in known if end <= self.now), default=self._last_known())

    def _last_known(self) -> datetime:
        attempt = self.attempt
        return attempt.last_seen_at or attempt.submitted_at or attempt.created_at

    def _memory(self) -> float | None:
        row = self.sighting.accounting
        measured = (self.record.max_rss_mb if self.record else None, row.max_rss_mb if row else None)
        return max((size for size in measured if size is not None), default=None)

    def _cpu_time(self, record: ExitRecord) -> float | None:
        row = self._row_of(record)
        measured = (record.cpu_seconds, row.cpu_seconds if row else None)
        return max((seconds for seconds in measured if seconds is not None), default=None)

    def _elapsed(self, record: ExitRecord) -> float:
        """Return how long the job took; SLURM's clock starts before the record's, at the prolog."""
        row = self._row_of(record)
        accounted = (row.elapsed_seconds if row else None) or 0.0
        return max(record.ended_at - record.started_at, accounted, 0.0)

    def _row_of(self, record: ExitRecord) -> AccountingRow | None:
        """Return what sacct says, where it speaks of the very life of the job that left the record."""
        row = self.sighting.accounting
        same = row is not None and row.job_id == record.job_id and row.lives - 1 == record.restart_count
        return row if same else None

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
            return replace(
                verdict,
                exit_code=accounted.exit_code,
                signal=accounted.signal,
                max_rss_mb=accounted.max_rss_mb,
                cpu_seconds=accounted.cpu_seconds,
                elapsed_seconds=accounted.elapsed_seconds or None,
                ended_at=_moment(accounted.ended_at),
            )
        return replace(
            verdict,
            exit_code=record.exit_code,
            signal=record.signal,
            max_rss_mb=self._memory() if record.tool_ran else None,
            cpu_seconds=self._cpu_time(record) if record.tool_ran else None,
            elapsed_seconds=self._elapsed(record) if record.tool_ran else None,
            host=verdict.host or record.host,
            started_at=_moment(record.started_at),
            ended_at=_moment(record.ended_at),
            job_id=record.job_id,
        )


def record_of_last_life(sighting: Sighting) -> ExitRecord | None:
    """Return the exit record, unless it tells of a life that SLURM has followed with another."""
    record, row = sighting.exit_record, sighting.accounting
    if record is None or row is None or record.published:
        return record
    return None if record.job_id == row.job_id and record.restart_count < row.lives - 1 else record


def _killed_by(row: AccountingRow) -> int | None:
    """Return the signal that ended a job's processes; srun ends with 137 after a SIGKILL, and sacct says 9 for that."""
    return row.signal or (signal.SIGKILL if row.exit_code in (9, 137) else None)


def is_success(record: ExitRecord) -> bool:
    """Tell whether a record says that the tool succeeded and its checked results are published."""
    return record.exit_code == 0 and record.published and not record.missing_outputs


def _moment(stamp: float | None) -> datetime | None:
    """Return a moment, None where none is known or a calendar can't show it."""
    try:
        return None if stamp is None else datetime.fromtimestamp(stamp, UTC)
    except (ValueError, OverflowError, OSError):
        return None
