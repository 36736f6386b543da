"""This machine as a cluster: each attempt is a process of its own, which outlives whoever started it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Before submitit is imported: it would put handlers of its own on stdout and stderr.
os.environ.setdefault("SUBMITIT_LOG_LEVEL", "NOCONFIG")

from submitit.core.utils import DelayedSubmission
from submitit.local import local as submitit_local

from neuroflow.cluster import claim
from neuroflow.cluster.fence import fence
from neuroflow.cluster.folders import LocalFolders
from neuroflow.cluster.job import payload
from neuroflow.cluster.process_table import (
    is_alive,
    is_another,
    is_of_this_boot,
    local_id,
    pid_of,
    session_members,
    state_here,
    write_place,
)
from neuroflow.cluster.records import attempt_files, read_exit_record
from neuroflow.cluster.request import ArrayRequest, JobRequest
from neuroflow.cluster.submit import PAYLOAD_NAME, check_folder, code_path, payload_file
from neuroflow.cluster.transport import scrubbed
from neuroflow.domain import AccountingRow, AttemptRecord, ExitRecord, JobState, QueueRow, Sighting, SiteLimits
from neuroflow.errors import SubmissionRefused, SubmissionUncertain

if TYPE_CHECKING:
    from submitit.core.core import Job

    from neuroflow.config import NeuroflowConfig

# Our own children, so that they are reaped once they have ended.
_children: set[subprocess.Popen[bytes]] = set()
_children_lock = threading.Lock()


class LocalJob(submitit_local.LocalJob[Any]):
    """A started job; submitit's watcher, whose list only grows, is left out."""

    def _register_in_watcher(self) -> None:
        pass


class LocalExecutor(submitit_local.LocalExecutor):
    """submitit's local executor, without its controller: the job keeps its own time limit."""

    def __init__(self, job: JobRequest, *, scratch: str | None) -> None:
        super().__init__(job.folder)
        self._job = job
        self._scratch = scratch

    def _internal_process_submissions(self, delayed_submissions: list[DelayedSubmission]) -> list[Job[Any]]:
        (delayed,) = delayed_submissions
        files = attempt_files(self._job, time_limit_seconds=self._job.resources.time_minutes * 60.0)
        files[PAYLOAD_NAME] = payload_file(delayed, time_minutes=self._job.resources.time_minutes)
        LocalFolders().make({self._job.folder: files})
        # submitit looks for a file named by a job id; the token serves, being known before the process is.
        link = self.folder / f"{self._job.token}_submitted.pkl"
        link.unlink(missing_ok=True)
        link.symlink_to(PAYLOAD_NAME)
        return [self._submit_command(self._submitit_command_str)]

    def _submit_command(self, command: str) -> LocalJob:
        process = _start(self._job, scratch=self._scratch)
        job_id = local_id(process.pid)
        if job_id is None:  # it has ended already; its claim holds its name
            process.wait()
            job_id = claim.claimed_job_id(self.folder)
        if job_id is None:
            raise SubmissionUncertain(f"the process of {self._job.token} ended at once; see the logs in {self.folder}")
        write_place(self.folder, job_id)
        return LocalJob(self.folder, job_id)


class LocalCluster:
    """Execute attempts as processes of this machine."""

    def __init__(self, config: NeuroflowConfig) -> None:
        self.folders = LocalFolders()
        self._settings = config.cluster

    def submit(self, job: JobRequest) -> str:
        """Start the job's process and return its name, `<pid>:<start time>`."""
        check_folder(job.folder)
        executor = LocalExecutor(job, scratch=_expanded(self._settings.scratch))
        return str(executor.submit(payload, job.folder).job_id)

    def submit_array(self, array: ArrayRequest) -> list[str]:
        """Refuse: processes are started one by one."""
        raise SubmissionRefused("this machine takes no job arrays", transient=False, hint="")

    def jobs_in_queue(self) -> None:
        """Return None: nothing waits here."""
        return None

    def jobs(self, attempts: Sequence[AttemptRecord]) -> dict[str, QueueRow]:
        """Return nothing: no job of this machine waits."""
        return {}

    def job_names(self) -> frozenset[str]:
        """Return no names: nothing waits here, and what runs has claimed its folder."""
        return frozenset()

    def render(self, job: JobRequest) -> str:
        """Return the command line of the job's process, and the tool's."""
        return f"{shlex.join(_command(job))}\n# runs:\n{shlex.join(job.command)}\n"

    def sight(self, attempts: Sequence[AttemptRecord]) -> dict[str, Sighting]:
        """Look each attempt up in the process table and in its folder."""
        _reap()
        return {attempt.token: _sighting(attempt) for attempt in attempts}

    def cancel(self, attempts: Sequence[AttemptRecord]) -> None:
        """Ask the attempts' processes to end; they pass it on to their tools and leave a record."""
        for attempt in attempts:
            job_id = _job_id(attempt)
            pid = pid_of(job_id) if job_id else None
            if job_id and pid is not None and state_here(Path(attempt.folder), job_id):
                _signal(pid, job_id)

    def revoke(self, attempt: AttemptRecord) -> bool:
        """Take the claim of a folder that no process has; False when one has."""
        return self.folders.revoke(attempt.folder)

    def retire(self, attempts: Sequence[AttemptRecord]) -> None:
        """Fence attempts, and kill what is left of their processes on this machine."""
        fence(attempts, folders=self.folders)
        for attempt in attempts:
            job_id = _job_id(attempt)
            if job_id is not None and state_here(Path(attempt.folder), job_id) is not None:
                _end_orphans(Path(attempt.folder), job_id)

    def site_limits(self) -> SiteLimits:
        """Return no limits: a process is taken whatever it asks for."""
        return SiteLimits()


def _command(job: JobRequest) -> list[str]:
    # -P: the working directory of a worker is no place to import from.
    return [sys.executable, "-P", "-u", "-m", "submitit.core._submit", job.folder]


def _start(job: JobRequest, *, scratch: str | None) -> subprocess.Popen[bytes]:
    environment = scrubbed(os.environ) | {
        "SUBMITIT_EXECUTOR": "local",
        "SUBMITIT_LOCAL_JOB_ID": job.token,
        "SUBMITIT_LOCAL_GLOBALID": "0",
        "SUBMITIT_LOCAL_LOCALID": "0",
    }
    environment |= {"NEUROFLOW_SCRATCH": scratch} if scratch else {}
    code = code_path()
    environment |= {"PYTHONPATH": code} if code else {}
    folder = Path(job.folder)
    try:
        with (folder / "local_log.out").open("ab") as out, (folder / "local_log.err").open("ab") as err:
            process = subprocess.Popen(
                _command(job),
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,  # Ctrl-C on a worker, or its end, must not reach the job
            )
    except OSError as error:
        raise SubmissionRefused(f"the job's process can't be started: {error}", transient=True) from error
    with _children_lock:
        _children.add(process)
    return process


def _reap() -> None:
    with _children_lock:
        _children.difference_update([process for process in _children if process.poll() is not None])


def _sighting(attempt: AttemptRecord) -> Sighting:
    job_id = _job_id(attempt)
    # The process first: one that ends between the two looks has left its record by the second.
    state = _process_state(attempt, job_id)
    record = read_exit_record(attempt.folder, token=attempt.token)
    row = ended = None
    if state is JobState.RUNNING and job_id is not None:
        row = QueueRow(job_id=job_id, token=attempt.token, state=state, word=state.value.upper())
    elif record is not None or state is JobState.NODE_FAIL:
        ended = _ended_row(attempt, job_id or "", record)
    return Sighting(
        queue_answered=state is not None or record is not None,
        accounting_answered=ended is not None,
        queue=row,
        accounting=ended,
        exit_record=record,
        job_id=job_id,
        all_answered=True,  # whoever has not claimed its folder can be revoked
    )


def _process_state(attempt: AttemptRecord, job_id: str | None) -> JobState | None:
    """Return RUNNING, NODE_FAIL for a process that is gone for certain, NOT_REPORTED, or None where nobody can tell."""
    if job_id is None:
        return JobState.NOT_REPORTED
    alive = state_here(Path(attempt.folder), job_id)
    if alive is None:
        return None
    return JobState.RUNNING if alive or _end_orphans(Path(attempt.folder), job_id) else JobState.NODE_FAIL


def _end_orphans(folder: Path, job_id: str) -> bool:
    """Kill what is left of a job, before anyone runs it anew; True if there was something."""
    pid = pid_of(job_id)
    if pid is None or is_another(pid, job_id) or not is_of_this_boot(folder):
        return False  # a process id is given out again only after its whole session has ended
    members = session_members(pid)
    for member in members:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(member, signal.SIGKILL)
    return bool(members)


def _ended_row(attempt: AttemptRecord, job_id: str, record: ExitRecord | None) -> AccountingRow:
    """Say of a process what SLURM's accounting would: the process table is the witness."""
    if record is None:
        state, word = JobState.NODE_FAIL, "a process that is gone"
    else:
        state, word = (JobState.COMPLETED, "COMPLETED") if record.exit_code == 0 else (JobState.FAILED, "FAILED")
    return AccountingRow(
        job_id=job_id,
        token=attempt.token,
        state=state,
        word=word,
        exit_code=None,
        signal=None,
        max_rss_mb=None,
        elapsed_seconds=0 if record is None else int(record.ended_at - record.started_at),
        ended_at=None if record is None else record.ended_at,
    )


def _job_id(attempt: AttemptRecord) -> str | None:
    return claim.claimed_job_id(Path(attempt.folder)) or attempt.job_id


def _signal(pid: int, job_id: str) -> None:
    with suppress(ProcessLookupError, PermissionError):  # another operator's: its own service ends it
        descriptor = os.pidfd_open(pid)
        try:
            if is_alive(job_id):  # the descriptor holds on to the process that was looked at
                signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        finally:
            os.close(descriptor)


def _expanded(scratch: str | None) -> str | None:
    """Fill in environment variables; an expression that only a node's shell understands is left out."""
    text = os.path.expandvars(scratch) if scratch else ""
    return text if text.startswith("/") and "$" not in text and "`" not in text else None
