"""SLURM as a cluster: submit by submitit, and ask squeue and sacct, each once per round for all jobs."""

from __future__ import annotations

import os
import pwd
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from neuroflow.cluster import claim, query
from neuroflow.cluster.files import write_atomically
from neuroflow.cluster.job import payload
from neuroflow.cluster.records import read_exit_record, write_job
from neuroflow.cluster.request import ArrayRequest, JobRequest, Lookup
from neuroflow.cluster.submit import ELEMENTS_NAME, SlurmExecutor, check_folder, script_text
from neuroflow.cluster.transport import LocalTransport, Transport
from neuroflow.domain import AccountingRow, AttemptRecord, ExitRecord, QueueRow, Sighting
from neuroflow.errors import ClusterError, CommandError, SubmissionRefused

if TYPE_CHECKING:
    from neuroflow.config import NeuroflowConfig

log = structlog.get_logger(__name__)

# How far back sacct searches a token whose submission time is not known.
_SEARCH_DAYS = 30


class SlurmCluster:
    """Execute attempts as SLURM jobs."""

    def __init__(self, config: NeuroflowConfig, *, transport: Transport | None = None) -> None:
        self._settings = config.cluster
        self._attempts_dir = config.attempts_dir
        self._transport: Transport = transport or LocalTransport()
        self._user = pwd.getpwuid(os.getuid()).pw_name

    # --- submitting ---

    def submit(self, job: JobRequest) -> str:
        """Write the job's folder, call sbatch, and return the job id."""
        check_folder(job.folder)
        try:
            self.render(job)  # a value that can't be written is found before anything is
        except ClusterError as error:
            raise SubmissionRefused(str(error), transient=False, hint=error.hint) from error
        write_job(Path(job.folder), job)
        executor = SlurmExecutor(job, self._settings, transport=self._transport)
        return str(executor.submit(payload, job.folder).job_id)

    def submit_array(self, array: ArrayRequest) -> list[str]:
        """Write the folders of an array and of its elements, call sbatch once, and return the elements' job ids."""
        folder = Path(array.folder)
        for job in array.jobs:
            check_folder(job.folder)
        check_folder(array.folder)
        try:
            script_text(array, self._settings)
        except ClusterError as error:
            raise SubmissionRefused(str(error), transient=False, hint=error.hint) from error
        for job in array.jobs:
            write_job(Path(job.folder), job)
        names = "".join(f"{Path(job.folder).name}\n" for job in array.jobs)
        write_atomically(folder / ELEMENTS_NAME, names.encode())
        executor = SlurmExecutor(array, self._settings, transport=self._transport)
        return [str(job.job_id) for job in executor.submit_array([partial(payload, job.folder) for job in array.jobs])]

    def render(self, job: JobRequest) -> str:
        """Return the sbatch script."""
        return script_text(job, self._settings)

    def revoke(self, attempt: AttemptRecord) -> bool:
        """Take the claim of a folder that no job has; False when one has."""
        folder = Path(attempt.folder)
        folder.mkdir(parents=True, exist_ok=True)
        return claim.take(folder, claim.REVOKED)

    def cancel(self, attempts: Sequence[AttemptRecord]) -> None:
        """Cancel jobs by id in one call, and by name where the id is not known."""
        ids = sorted({job_id for attempt in attempts if (job_id := _job_id(attempt)) is not None})
        unnamed = [attempt.token for attempt in attempts if _job_id(attempt) is None]
        if ids:
            self._run(("scancel", *ids))
        for token in unnamed:
            self._run(("scancel", "-u", self._user, "-n", token))

    # --- asking ---

    def sight(self, attempts: Sequence[AttemptRecord]) -> dict[str, Sighting]:
        """Gather what squeue, sacct and the exit records say of each attempt."""
        if not attempts:
            return {}
        records = {a.token: read_exit_record(a.folder, token=a.token) for a in attempts}
        claims = {a.token: claim.claimed_job_id(Path(a.folder)) for a in attempts}
        ids = {a.token: claims[a.token] or a.job_id for a in attempts}
        rows = self._queue_rows()
        queue = {a.token: _pick(rows or (), token=a.token, job_id=a.job_id, claimed=claims[a.token]) for a in attempts}
        asked = [a for a in attempts if rows is not None and _needs_accounting(queue[a.token], records[a.token])]
        accounting = self._accounting(asked, ids) if self._settings.accounting and asked else {}
        return {
            a.token: Sighting(
                queue_answered=rows is not None,
                accounting_answered=a.token in accounting,
                queue=queue[a.token],
                accounting=accounting.get(a.token),
                exit_record=records[a.token],
            )
            for a in attempts
        }

    def find(self, tokens: Collection[str]) -> Lookup:
        """Search jobs by name in squeue, then in sacct."""
        wanted = set(tokens)
        found = {
            token: job_id
            for token in wanted
            if (job_id := claim.claimed_job_id(self._attempts_dir / token)) is not None
        }
        rows = self._queue_rows()
        for token in wanted - found.keys():
            row = _pick(rows or (), token=token, job_id=None, claimed=None)
            if row is not None:
                found[token] = row.job_id
        answered = rows is not None
        missing = wanted - found.keys()
        if missing and self._settings.accounting:
            since = datetime.now(UTC) - timedelta(days=_SEARCH_DAYS)
            accounted = self._ask(query.sacct_name_commands(missing, user=self._user, since=since))
            answered = answered and accounted is not None
            found.update({row.token: row.job_id for row in accounted or () if row.token in missing})
        return Lookup(answered=answered, found=found)

    def _queue_rows(self) -> tuple[QueueRow, ...] | None:
        """Return all of this user's jobs, or None when squeue did not answer."""
        try:
            return query.parse_squeue(self._run(query.squeue_command(self._user)))
        except CommandError as error:
            log.warning("slurm.squeue_failed", error=str(error))
            return None

    def _accounting(
        self, attempts: Iterable[AttemptRecord], ids: Mapping[str, str | None]
    ) -> dict[str, AccountingRow | None]:
        """Return sacct's row of each attempt that it answered for, None where it knows no job."""
        by_id = {a.token: job_id for a in attempts if (job_id := ids[a.token]) is not None}
        by_name = [a for a in attempts if a.token not in by_id]
        answers: dict[str, AccountingRow | None] = {}
        if by_id:
            rows = self._ask(query.sacct_commands(by_id.values()))
            # A job id is used again after some years: the name has to fit as well.
            known = {(row.job_id, row.token): row for row in rows or ()}
            if rows is not None:
                answers.update({token: known.get((job_id, token)) for token, job_id in by_id.items()})
        if by_name:
            since = min(a.created_at for a in by_name)
            rows = self._ask(query.sacct_name_commands([a.token for a in by_name], user=self._user, since=since))
            if rows is not None:
                named = {row.token: row for row in rows}
                answers.update({a.token: named.get(a.token) for a in by_name})
        return answers

    def _ask(self, commands: Iterable[tuple[str, ...]]) -> tuple[AccountingRow, ...] | None:
        rows: list[AccountingRow] = []
        for command in commands:
            try:
                rows.extend(query.parse_sacct(self._run(command)))
            except CommandError as error:
                log.warning("slurm.sacct_failed", error=str(error))
                return None
        return tuple(rows)

    def _run(self, command: tuple[str, ...]) -> str:
        return self._transport.run(command, timeout=self._settings.command_timeout_seconds).check().stdout


def _job_id(attempt: AttemptRecord) -> str | None:
    """Return the job that executes an attempt: whoever claimed its folder, or else the one that sbatch named."""
    return claim.claimed_job_id(Path(attempt.folder)) or attempt.job_id


def _pick(rows: Iterable[QueueRow], *, token: str, job_id: str | None, claimed: str | None) -> QueueRow | None:
    """Return the row of the job that executes a token, or may yet.

    sbatch may have been called twice: until one of the jobs has claimed the folder, the living ones speak for all.
    """
    named = [row for row in rows if row.token == token]
    if claimed is not None:
        return next((row for row in named if row.job_id == claimed), None)
    living = [row for row in named if query.is_listed(row)]
    same = [row for row in named if row.job_id == job_id]
    return next((row for row in (*living, *same, *named)), None)


def _needs_accounting(row: QueueRow | None, record: ExitRecord | None) -> bool:
    published = record is not None and record.published
    return not published and not query.is_listed(row)
