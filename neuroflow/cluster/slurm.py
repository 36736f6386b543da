"""SLURM as a cluster: submit by submitit, and ask squeue and sacct, each once per round for all jobs."""

from __future__ import annotations

import os
import pwd
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from neuroflow.cluster import claim, site_limits
from neuroflow.cluster.fence import fence
from neuroflow.cluster.files import write_atomically
from neuroflow.cluster.job import payload
from neuroflow.cluster.job_index import JobIndex
from neuroflow.cluster.queue_query import is_listed
from neuroflow.cluster.records import write_job
from neuroflow.cluster.repeat import idempotent_is_safe, repeated
from neuroflow.cluster.request import ArrayRequest, JobRequest, Lookup
from neuroflow.cluster.submit import ELEMENTS_NAME, SlurmExecutor, check_folder, script_text
from neuroflow.cluster.transport import LocalTransport, Transport
from neuroflow.cluster.witnesses import Witnesses
from neuroflow.domain import AttemptRecord, Sighting, SiteLimits
from neuroflow.errors import ClusterError, CommandError, SubmissionRefused

if TYPE_CHECKING:
    from neuroflow.config import NeuroflowConfig

# What scancel says of jobs that have ended or are forgotten, or whose id another user's job bears by now. Depending on
# the release it then ends with an exit code other than 0, all the same, or says nothing.
_NOT_THERE = re.compile(
    r"Invalid job id specified|already completing or completed|Access/permission denied", re.IGNORECASE
)

log = structlog.get_logger(__name__)


def utc_now() -> datetime:
    """Return the present time, aware, in UTC."""
    return datetime.now(UTC)


class SlurmCluster:
    """Execute attempts as SLURM jobs."""

    def __init__(
        self,
        config: NeuroflowConfig,
        *,
        transport: Transport | None = None,
        clock: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = config.cluster
        self._transport: Transport = transport or LocalTransport()
        self._sleep = sleep
        self._user = pwd.getpwuid(os.getuid()).pw_name
        shared = config.paths.group is not None
        self._witnesses = Witnesses(config.cluster, user=self._user, run=self._run, clock=clock, shared=shared)

    # --- submitting ---

    def submit(self, job: JobRequest) -> str:
        """Write the job's folder, call sbatch, and return the job id."""
        check_folder(job.folder)
        try:
            self.render(job)  # a value that can't be written is found before anything is
        except ClusterError as error:
            raise SubmissionRefused(str(error), transient=False, hint=error.hint) from error
        write_job(Path(job.folder), job)
        executor = SlurmExecutor(job, self._settings, transport=self._transport, sleep=self._sleep)
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
        executor = SlurmExecutor(array, self._settings, transport=self._transport, sleep=self._sleep)
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
        """Cancel jobs by id in one call, and by name where the id is not known.

        An element of an array shares its name with its siblings: without an id it is looked up first, and left to
        `revoke` where squeue does not list it.
        """
        ids = {attempt.token: job_id for attempt in attempts if (job_id := _job_id(attempt)) is not None}
        unknown = [attempt for attempt in attempts if attempt.token not in ids]
        elements = [attempt for attempt in unknown if attempt.array_token is not None]
        self._cancel_ids(ids.values())
        for attempt in unknown:
            if attempt.array_token is None:
                self._scancel("-u", self._user, "-n", attempt.token)
        if elements:
            queue = JobIndex(self._witnesses.queue_rows())
            self._cancel_ids(row.job_id for attempt in elements for row in queue.of(attempt) if is_listed(row))

    def retire(self, attempts: Sequence[AttemptRecord]) -> None:
        """Fence attempts, and cancel their jobs in one call: a requeued one keeps its id, and its claim.

        An attempt whose job's id is not known needs the fence alone: a job that has started has claimed its folder.
        """
        fence(attempts)  # first: should the controller not answer, no job of them works all the same
        ids = {job_id for attempt in attempts if (job_id := self._own_job_id(attempt)) is not None}
        if not ids:
            return
        answer = self._transport.run(("scancel", *sorted(ids)), timeout=self._settings.command_timeout_seconds)
        told = [line for line in answer.stderr.splitlines() if line.strip()]
        if answer.exit_code < 0 or not all(_NOT_THERE.search(line) for line in told):
            answer.check()

    def _own_job_id(self, attempt: AttemptRecord) -> str | None:
        """Return an attempt's job, unless squeue has shown another job by that id: ids are given out again."""
        job_id = _job_id(attempt)
        name = self._witnesses.name_of(job_id) if job_id is not None else None
        return job_id if name in (None, attempt.job_name) else None

    def _cancel_ids(self, job_ids: Iterable[str]) -> None:
        distinct = sorted(set(job_ids))
        if distinct:
            self._scancel(*distinct)

    def _scancel(self, *arguments: str) -> None:
        repeated(lambda: self._run(("scancel", *arguments)), safe=idempotent_is_safe, sleep=self._sleep)

    # --- asking ---

    def sight(self, attempts: Sequence[AttemptRecord]) -> dict[str, Sighting]:
        """Gather what squeue, sacct and the exit records say of each attempt."""
        return self._witnesses.sight(attempts)

    def find(self, attempts: Sequence[AttemptRecord]) -> Lookup:
        """Search the jobs of attempts by name in their claims, squeue and sacct."""
        return self._witnesses.find(attempts)

    def jobs_in_queue(self) -> Mapping[tuple[str, str], int] | None:
        """Return how many jobs of the user wait or run, by account and QOS; squeue is asked unless it just was."""
        return self._witnesses.jobs_in_queue()

    def site_limits(self) -> SiteLimits:
        """Ask SLURM what it takes, in five calls; a part that it does not answer is None."""
        config = self._answer(site_limits.CONFIG_COMMAND)
        partitions = self._answer(site_limits.PARTITIONS_COMMAND)
        reservations = self._answer(site_limits.RESERVATIONS_COMMAND)
        associations = qos = None
        if self._settings.accounting:
            associations = self._answer(site_limits.associations_command(self._user))
            qos = self._answer(site_limits.QOS_COMMAND)
        return site_limits.gathered(
            config=config, partitions=partitions, reservations=reservations, associations=associations, qos=qos
        )

    def _answer(self, command: tuple[str, ...]) -> str | None:
        try:
            return self._run(command)
        except CommandError as error:
            log.warning("slurm.limits_unanswered", command=" ".join(command), error=str(error))
            return None

    def _run(self, command: tuple[str, ...]) -> str:
        return self._transport.run(command, timeout=self._settings.command_timeout_seconds).check().stdout


def _job_id(attempt: AttemptRecord) -> str | None:
    """Return the job that executes an attempt: whoever claimed its folder, or else the one that sbatch named."""
    return claim.claimed_job_id(Path(attempt.folder)) or attempt.job_id
