"""SLURM as a cluster: submit by submitit, and ask squeue and sacct, each once per round for all jobs."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import structlog

from neuroflow.cluster import claim
from neuroflow.cluster.fence import fence
from neuroflow.cluster.job import payload
from neuroflow.cluster.job_index import JobIndex, pick_queued
from neuroflow.cluster.login_node import LoginNode, get_login_node
from neuroflow.cluster.queue_query import is_listed, jobs_command, parse_squeue
from neuroflow.cluster.repeat import idempotent_is_safe, repeated
from neuroflow.cluster.request import ArrayRequest, JobRequest
from neuroflow.cluster.site_answers import ask_site
from neuroflow.cluster.submit import SlurmExecutor, check_folder, jobs_of, script_text
from neuroflow.cluster.transport import Transport
from neuroflow.cluster.witnesses import Witnesses
from neuroflow.domain import AttemptRecord, QueueRow, Sighting, SiteLimits
from neuroflow.errors import ClusterError, CommandError, SubmissionRefused

if TYPE_CHECKING:
    from neuroflow.config import NeuroflowConfig

# What scancel says of jobs that have ended or are forgotten, or whose id another user's job bears by now. Depending on
# the release it then ends with an exit code other than 0, all the same, or says nothing.
_ENDED = r"Invalid job id specified|already completing or completed"
_NOT_THERE = re.compile(_ENDED, re.IGNORECASE)
_NOT_OURS = re.compile(rf"{_ENDED}|Access/permission denied", re.IGNORECASE)

# A person waits for the answer.
_QUICK_SECONDS = 10.0

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
        login_node: LoginNode | None = None,
        clock: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        node = login_node or get_login_node(config)
        self.folders = node.folders
        self._settings = config.cluster
        self._transport: Transport = transport or node.transport
        self._sleep = sleep
        self._user = node.user
        # Another operator's jobs: behind SSH there is but one user.
        shared = config.paths.group is not None and not config.cluster.is_remote
        self._witnesses = Witnesses(
            config.cluster, user=self._user, run=self._run, folders=self.folders, clock=clock, shared=shared
        )

    # --- submitting ---

    def submit(self, job: JobRequest) -> str:
        """Write the job's folder, call sbatch, and return the job id."""
        executor = self._prepared(job)
        return str(executor.submit(payload, job.folder).job_id)

    def submit_array(self, array: ArrayRequest) -> list[str]:
        """Write the folders of an array and of its elements, call sbatch once, and return the elements' job ids."""
        executor = self._prepared(array)
        return [str(job.job_id) for job in executor.submit_array([partial(payload, job.folder) for job in array.jobs])]

    def _prepared(self, what: JobRequest | ArrayRequest) -> SlurmExecutor:
        """Check what is to be submitted, and return what writes the folder of each of its jobs and submits it.

        Raises:
            SubmissionRefused: when a name or value can't be written; nothing has been then.
        """
        jobs = jobs_of(what)
        for folder in dict.fromkeys((what.folder, *(job.folder for job in jobs))):
            check_folder(folder)
        try:
            script_text(what, self._settings)
        except ClusterError as error:
            raise SubmissionRefused(str(error), transient=False, hint=error.hint) from error
        return SlurmExecutor(what, self._settings, transport=self._transport, folders=self.folders, sleep=self._sleep)

    def render(self, job: JobRequest) -> str:
        """Return the sbatch script."""
        return script_text(job, self._settings)

    def revoke(self, attempt: AttemptRecord) -> bool:
        """Take the claim of a folder that no job has; False when one has."""
        return self.folders.revoke(attempt.folder)

    def cancel(self, attempts: Sequence[AttemptRecord]) -> None:
        """Cancel jobs by id in one call, and by name where the id is not known.

        An element of an array shares its name with its siblings: without an id it is looked up first, and left to
        `revoke` where squeue does not list it.
        """
        ids = self._job_ids(attempts)
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
        fence(attempts, folders=self.folders)  # first: should the controller not answer, none works all the same
        known = self._job_ids(attempts)
        ids = {known[attempt.token] for attempt in attempts if self._is_own(attempt, known.get(attempt.token))}
        if not ids:
            return
        self._scancel_known(sorted(ids), harmless=_NOT_OURS)

    def _is_own(self, attempt: AttemptRecord, job_id: str | None) -> bool:
        """Tell whether a job is an attempt's; not where squeue has shown another one by that id, given out again."""
        return job_id is not None and self._witnesses.name_of(job_id) in (None, attempt.job_name)

    def _job_ids(self, attempts: Sequence[AttemptRecord]) -> dict[str, str]:
        """Return, by token, the jobs of attempts: whoever claimed the folder, or else the one that sbatch named."""
        looks = self.folders.look([attempt.folder for attempt in attempts], [claim.FILE_NAME])
        ids = {
            attempt.token: claim.job_id_in(looks[attempt.folder][claim.FILE_NAME].data) or attempt.job_id
            for attempt in attempts
        }
        return {token: job_id for token, job_id in ids.items() if job_id is not None}

    def _cancel_ids(self, job_ids: Iterable[str]) -> None:
        distinct = sorted(set(job_ids))
        if distinct:
            # Of many jobs one has always just ended; the others are cancelled all the same.
            call = partial(self._scancel_known, distinct, harmless=_NOT_THERE)
            repeated(call, safe=idempotent_is_safe, sleep=self._sleep)

    def _scancel_known(self, job_ids: Sequence[str], *, harmless: re.Pattern[str]) -> None:
        answer = self._transport.run(("scancel", *job_ids), timeout=self._settings.command_timeout_seconds)
        told = [line for line in answer.stderr.splitlines() if line.strip()]
        if answer.exit_code < 0 or not all(harmless.search(line) for line in told):
            answer.check()

    def _scancel(self, *arguments: str) -> None:
        repeated(lambda: self._run(("scancel", *arguments)), safe=idempotent_is_safe, sleep=self._sleep)

    # --- asking ---

    def sight(self, attempts: Sequence[AttemptRecord]) -> dict[str, Sighting]:
        """Gather what squeue, sacct and the exit records say of each attempt."""
        return self._witnesses.sight(attempts)

    def jobs_in_queue(self) -> Mapping[tuple[str, str], int] | None:
        """Return how many jobs of the user wait or run, by account and QOS; squeue is asked unless it just was."""
        return self._witnesses.jobs_in_queue()

    def job_names(self) -> frozenset[str]:
        """Return the names of the user's jobs that wait or run."""
        return frozenset(row.token for row in self._witnesses.queue_rows() if is_listed(row))

    def jobs(self, attempts: Sequence[AttemptRecord]) -> dict[str, QueueRow]:
        """Ask squeue, once, for the jobs of these attempts alone; by token, those that it lists.

        Raises:
            CommandError: when squeue does not answer in a few seconds.
        """
        ids = {attempt.job_id for attempt in attempts if attempt.job_id is not None}
        if not ids:
            return {}
        timeout = min(self._settings.command_timeout_seconds, _QUICK_SECONDS)
        answer = self._transport.run(jobs_command(ids), timeout=timeout)
        # Of ids that it knows no more squeue says nothing, or, of a single one, that it is invalid.
        if answer.exit_code != 0 and not _NOT_THERE.search(answer.stderr):
            answer.check()
        index = JobIndex(parse_squeue(answer.stdout))
        found = {one.token: pick_queued(index.of(one), job_id=one.job_id, claimed=None) for one in attempts}
        return {token: row for token, row in found.items() if row is not None}

    def site_limits(self) -> SiteLimits:
        """Ask SLURM what it takes, in seven calls at most; a part that it does not answer is None."""
        accounting = self._settings.accounting
        return ask_site(self._answer, user=self._user, keeps_accounts=lambda _: accounting).limits()

    def _answer(self, command: tuple[str, ...]) -> str | None:
        try:
            return self._run(command)
        except CommandError as error:
            log.warning("slurm.limits_unanswered", command=" ".join(command), error=str(error))
            return None

    def _run(self, command: tuple[str, ...]) -> str:
        return self._transport.run(command, timeout=self._settings.command_timeout_seconds).check().stdout
