"""Ask squeue and sacct, each at most once for however many attempts, and lay their answers beside the exit records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from neuroflow.cluster import claim
from neuroflow.cluster.accounting_query import parse_sacct, sacct_command
from neuroflow.cluster.folders import FileLook, Folders
from neuroflow.cluster.job import RECORD_NAME
from neuroflow.cluster.job_index import JobIndex, pick_accounted, pick_queued
from neuroflow.cluster.queue_query import is_listed, parse_squeue, squeue_command
from neuroflow.cluster.records import parse_exit_record
from neuroflow.cluster.step_log import TAIL_BYTES, over_memory, step_log
from neuroflow.config.execution import Cluster as ClusterSettings
from neuroflow.domain import AccountingRow, AttemptRecord, AttemptStatus, ExitRecord, JobState, QueueRow, Sighting
from neuroflow.errors import ClusterError, CommandError
from neuroflow.sharing import owner_of, user_name

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Look:
    """What squeue and an attempt's folder say of it."""

    attempt: AttemptRecord
    record: ExitRecord | None
    claimed: str | None  # the job that claimed its folder
    row: QueueRow | None
    revoked: bool  # its claim says that no job may ever have the folder

    @property
    def token(self) -> str:
        return self.attempt.token

    @property
    def job_id(self) -> str | None:
        return self.claimed or self.attempt.job_id

    @property
    def is_settled(self) -> bool:
        """Tell whether sacct could add nothing: the results are published, or the job is among the living."""
        return is_listed(self.row) or (self.record is not None and self.record.published)


class Witnesses:
    """What SLURM and the attempts' own folders say of attempts."""

    def __init__(
        self,
        settings: ClusterSettings,
        *,
        user: str,
        run: Callable[[tuple[str, ...]], str],
        folders: Folders,
        clock: Callable[[], datetime],
        shared: bool = False,  # with other operators, whose jobs are their own
    ) -> None:
        self._shared = shared
        self._settings = settings
        self._user = user
        self._run = run
        self._folders = folders
        self._clock = clock
        # By squeue's last answer:
        self._jobs_in_queue: Mapping[tuple[str, str], int] | None = None
        self._names: dict[str, str] = {}

    def queue_rows(self, users: Collection[str] = ()) -> tuple[QueueRow, ...]:
        """Return all of this user's jobs, and of the others that are named.

        Raises:
            CommandError: when squeue did not answer.
        """
        rows = parse_squeue(self._run(squeue_command(",".join([self._user, *sorted(users)]))))
        self._jobs_in_queue = Counter((row.account, row.qos) for row in rows if is_listed(row))
        self._names = {row.job_id: row.token for row in rows}
        return rows

    def name_of(self, job_id: str) -> str | None:
        """Return the name of the job that bears an id by squeue's last answer, None for one that it did not list."""
        return self._names.get(job_id)

    def jobs_in_queue(self) -> Mapping[tuple[str, str], int] | None:
        """Return how many of this user's jobs wait or run, by account and QOS; None when squeue does not answer.

        An answer of squeue serves once: the next time it is asked again.
        """
        if self._jobs_in_queue is None:
            self._queue()
        count, self._jobs_in_queue = self._jobs_in_queue, None
        return count

    def sight(self, attempts: Sequence[AttemptRecord]) -> dict[str, Sighting]:
        """Gather what all witnesses say of each attempt, by token; by job name where no id is known."""
        if not attempts:
            return {}
        others = self._owners(attempts)
        queue = self._queue(set(others.values()))
        try:
            looks = self._looks(attempts, queue or JobIndex(()))
        except ClusterError as error:  # an exit record that could not be asked for is not one that is missing
            log.warning("slurm.folders_silent", error=str(error))
            return {attempt.token: _silence(attempt) for attempt in attempts}
        asked = [look for look in looks if queue is not None and self._needs_accounting(look)]
        accounting = self._accounting(asked, sorted(set(others.values()))) if asked else None
        # A site may hide other users' jobs: that one of them is not listed proves nothing.
        silent = {look.token for look in looks if queue is None or (look.token in others and look.row is None)}
        sightings = {look.token: self._sighting(look, queue_answered=look.token not in silent) for look in looks}
        for look in asked:
            sightings[look.token] = _with_accounting(sightings[look.token], look, accounting)
        return sightings | self._with_step_logs(
            [look for look in looks if _may_have_died(sightings[look.token], look)], sightings
        )

    def _looks(self, attempts: Sequence[AttemptRecord], queue: JobIndex[QueueRow]) -> list[_Look]:
        # After squeue was asked: a job that it still listed may have left its record by now.
        files = self._folders.look([attempt.folder for attempt in attempts], [claim.FILE_NAME, RECORD_NAME])
        return [_look(attempt, files[attempt.folder], queue) for attempt in attempts]

    def _with_step_logs(self, looks: Sequence[_Look], sightings: Mapping[str, Sighting]) -> dict[str, Sighting]:
        """Look for what SLURM's step daemon wrote of jobs that it may have killed."""
        if not looks:
            return {}
        paths = {look.token: str(step_log(look.attempt.folder, look.job_id or "")) for look in looks}
        try:
            tails = self._folders.tails(list(paths.values()), limit_bytes=TAIL_BYTES)
        except ClusterError as error:
            log.warning("slurm.step_logs_silent", error=str(error))
            return {}
        return {
            token: replace(sightings[token], over_memory=over_memory(tails[path], path=path))
            for token, path in paths.items()
        }

    def _owners(self, attempts: Sequence[AttemptRecord]) -> dict[str, str]:
        """Return the users whose attempts are another operator's, by token."""
        if not self._shared:
            return {}
        uids = {attempt.token: owner_of(Path(attempt.folder)) for attempt in attempts}
        return {token: name for token, uid in uids.items() if uid is not None and (name := user_name(uid))}

    def _queue(self, users: Collection[str] = ()) -> JobIndex[QueueRow] | None:
        try:
            return JobIndex(self.queue_rows(users))
        except CommandError as error:
            log.warning("slurm.squeue_failed", error=str(error))
            return None

    def _accounting(self, asked: Sequence[_Look], others: Sequence[str]) -> JobIndex[AccountingRow] | None:
        command = sacct_command(
            ids={look.job_id for look in asked if look.job_id is not None},
            names={look.attempt.job_name for look in asked if look.job_id is None},
            user=",".join([self._user, *others]),
            since=min(look.attempt.created_at for look in asked),
        )
        try:
            return JobIndex(parse_sacct(self._run(command)))
        except CommandError as error:
            log.warning("slurm.sacct_failed", error=str(error))
            return None

    def _needs_accounting(self, look: _Look) -> bool:
        return self._settings.accounting and not look.is_settled and not self._is_being_submitted(look)

    def _is_being_submitted(self, look: _Look) -> bool:
        """Tell whether sbatch may still be at it: sacct could not know its job, and is not asked in vain."""
        attempt = look.attempt
        if attempt.status is not AttemptStatus.SUBMITTING or look.job_id is not None or look.row is not None:
            return False
        return self._clock() - attempt.created_at < timedelta(seconds=self._settings.command_timeout_seconds)

    def _sighting(self, look: _Look, *, queue_answered: bool) -> Sighting:
        return Sighting(
            queue_answered=queue_answered,
            accounting_answered=False,
            queue=look.row,
            exit_record=look.record,
            job_id=look.claimed or (look.row.job_id if look.row is not None else look.attempt.job_id),
            all_answered=queue_answered and (look.is_settled or not self._settings.accounting),
            revoked=queue_answered and look.claimed is None and not look.is_settled and look.revoked,
        )


def _look(attempt: AttemptRecord, files: Mapping[str, FileLook], queue: JobIndex[QueueRow]) -> _Look:
    held = files[claim.FILE_NAME].data
    claimed = claim.job_id_in(held)
    return _Look(
        attempt,
        record=parse_exit_record(files[RECORD_NAME], token=attempt.token),
        claimed=claimed,
        row=pick_queued(queue.of(attempt), job_id=attempt.job_id, claimed=claimed),
        revoked=claim.is_revoked(held),
    )


def _silence(attempt: AttemptRecord) -> Sighting:
    return Sighting(queue_answered=False, accounting_answered=False, job_id=attempt.job_id)


def _with_accounting(sighting: Sighting, look: _Look, accounting: JobIndex[AccountingRow] | None) -> Sighting:
    if accounting is None:
        return replace(sighting, accounting_silent=True)
    row = pick_accounted(accounting.of(look.attempt), job_id=look.job_id)
    return replace(
        sighting,
        accounting_answered=True,
        accounting=row,
        job_id=sighting.job_id or (row.job_id if row is not None else None),
        all_answered=True,
    )


def _may_have_died(sighting: Sighting, look: _Look) -> bool:
    """Tell whether SLURM calls a job failed, and may have said more in its log."""
    states = {row.state for row in (sighting.queue, sighting.accounting) if row is not None}
    return look.job_id is not None and not look.is_settled and JobState.FAILED in states
