"""Submit through submitit, with our script, our transport, and a payload that lies ready before sbatch is called."""

from __future__ import annotations

import os
import pickle
import re
import sys
import sysconfig
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Before submitit is imported: it would put handlers of its own on stdout and stderr.
os.environ.setdefault("SUBMITIT_LOG_LEVEL", "NOCONFIG")

from submitit.core.utils import DelayedSubmission
from submitit.slurm import slurm as submitit_slurm

from neuroflow.cluster.answers import job_id_of, translated
from neuroflow.cluster.folders import Folders
from neuroflow.cluster.records import attempt_files
from neuroflow.cluster.repeat import repeated, submission_is_safe
from neuroflow.cluster.request import ArrayRequest, JobRequest
from neuroflow.cluster.template import render_script
from neuroflow.cluster.transport import Transport
from neuroflow.config.execution import Cluster as ClusterSettings
from neuroflow.config.partitions import AUTO, job_settings
from neuroflow.domain.gres import gpus_of
from neuroflow.errors import CommandError, SubmissionRefused

if TYPE_CHECKING:
    from submitit.core.core import Job

PAYLOAD_NAME = "payload.pkl"
SCRIPT_NAME = "submission.sh"
ELEMENTS_NAME = "elements"  # of an array: one line each, the name of its attempt's folder
_PICKLE_PROTOCOL = 4  # the cluster's Python may be older than this one
# SLURM may send the warning a minute early: in a short job it would come before the tool has started.
_EARLY_SECONDS = 60
_EXCLUDE = re.compile(r"(?:#SBATCH\s+)?(?:--exclude[= ]|-x ?)(\S+)")
_SHORTEST_WARNED_SECONDS = 120


class SlurmJob(submitit_slurm.SlurmJob[None]):
    """A submitted job; submitit's own watcher, which asks sacct by itself, is left out."""

    def _register_in_watcher(self) -> None:
        pass


class SlurmExecutor(submitit_slurm.SlurmExecutor):
    """submitit's executor for one attempt, or for an array of them."""

    job_class = SlurmJob

    def __init__(
        self,
        what: JobRequest | ArrayRequest,
        settings: ClusterSettings,
        *,
        transport: Transport,
        folders: Folders,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(what.folder)
        self._what = what
        self._settings = settings
        self._transport = transport
        self._folders = folders
        self._sleep = sleep

    @classmethod
    def affinity(cls) -> int:
        """Allow a machine without srun: the transport may lead elsewhere."""
        return 2

    def _internal_process_submissions(self, delayed_submissions: list[DelayedSubmission]) -> list[Job[Any]]:
        jobs = jobs_of(self._what)
        # In one call: the folders may lie on another machine.
        self._folders.make(self._files(delayed_submissions))
        submitted = self._submit_command(self._submitit_command_str)
        if isinstance(self._what, JobRequest):
            return [submitted]
        ids = (f"{submitted.job_id}_{index}" for index in range(len(jobs)))
        return [
            self.job_class(folder=job.folder, job_id=job_id, tasks=[0]) for job, job_id in zip(jobs, ids, strict=True)
        ]

    def _files(self, delayed_submissions: Sequence[DelayedSubmission]) -> dict[str, dict[str, bytes]]:
        """Return what is to lie in which folder before sbatch is called."""
        files = {
            job.folder: {
                **attempt_files(job),
                PAYLOAD_NAME: payload_file(delayed, time_minutes=job.resources.time_minutes),
            }
            for job, delayed in zip(jobs_of(self._what), delayed_submissions, strict=True)
        }
        own = files.setdefault(self._what.folder, {})
        own[SCRIPT_NAME] = self._make_submission_file_text(self._submitit_command_str, "").encode()
        if isinstance(self._what, ArrayRequest):
            own[ELEMENTS_NAME] = "".join(f"{Path(job.folder).name}\n" for job in self._what.jobs).encode()
        return files

    def _submit_command(self, command: str) -> Job[Any]:
        script = self.folder / SCRIPT_NAME
        job_id = repeated(lambda: self._sbatch(script), safe=submission_is_safe, sleep=self._sleep)
        return self.job_class(folder=self.folder, job_id=job_id, tasks=[0])

    def _sbatch(self, script: Path) -> str:
        timeout = self._settings.command_timeout_seconds
        try:
            return job_id_of(self._transport.run(self._make_submission_command(script), timeout=timeout))
        except CommandError as error:
            raise translated(error) from error

    def _make_submission_file_text(self, command: str, uid: str) -> str:
        """Render our template; it calls submitit in its own last line, not by `command`."""
        return script_text(self._what, self._settings)

    def _make_submission_command(self, submission_file_path: Path) -> list[str]:
        return ["sbatch", "--parsable", str(submission_file_path)]


def jobs_of(what: JobRequest | ArrayRequest) -> tuple[JobRequest, ...]:
    """Return the jobs of an array, or the one job."""
    return what.jobs if isinstance(what, ArrayRequest) else (what,)


def script_text(what: JobRequest | ArrayRequest, settings: ClusterSettings) -> str:
    """Return the sbatch script of a job, or of an array of jobs with one request."""
    job = jobs_of(what)[0]
    array = what if isinstance(what, ArrayRequest) else None
    resources = job.resources
    own = job_settings(settings, job.settings, partition=_partition(job, settings))
    lines = own.sbatch_lines
    # sbatch takes the last --exclude alone: the site's own nodes go into ours.
    excluded = [match[1] for line in lines if (match := _EXCLUDE.fullmatch(line.strip()))]
    if job.exclude_nodes:
        lines = tuple(line for line in lines if not _EXCLUDE.fullmatch(line.strip()))
    placement = (
        ("account", own.account),
        ("partition", own.partition),
        ("qos", own.qos),
        ("constraint", own.constraint),
        ("gres", own.gres),
        ("exclude", ",".join((*job.exclude_nodes, *excluded)) if job.exclude_nodes else ""),
        ("nice", job.nice),
    )
    values = {
        "token": what.token,
        "pipeline": job.pipeline,
        "scope": job.scope if array is None else f"{len(array.jobs)} runs",
        "folder": what.folder,
        "array": None if array is None else _array_range(array),
        "elements": str(Path(what.folder) / ELEMENTS_NAME),
        "attempts": str(Path(job.folder).parent),
        "cpus": resources.cpus,
        "memory_mb": resources.memory_mb,
        "time_minutes": resources.time_minutes,
        "gpus": 0 if gpus_of(own.gres) else resources.gpus,  # gres asks for them already
        "signal_seconds": warning_seconds(settings.signal_seconds, time_minutes=resources.time_minutes),
        "placement": [(name, value) for name, value in placement if value],
        "sbatch_lines": lines,
        "setup_lines": own.setup_lines,
        "scratch": own.scratch,
        "python": settings.python or sys.executable,
        "code_path": None if settings.python else code_path(),
    }
    return render_script(job.pipeline, values)


def _partition(job: JobRequest, settings: ClusterSettings) -> str | None:
    """Return the partition that was chosen for a job, or else the one that is named."""
    named = job.settings.partition or settings.partition
    return job.resources.partition or (None if named == AUTO else named)


def _array_range(array: ArrayRequest) -> str:
    at_once = f"%{array.at_once}" if array.at_once else ""
    return f"0-{len(array.jobs) - 1}{at_once}"


def warning_seconds(wanted: int, *, time_minutes: int) -> int:
    """Return how long before the time limit SLURM shall warn the job; 0: not at all, the job is too short."""
    return wanted if time_minutes * 60 >= wanted + _EARLY_SECONDS + _SHORTEST_WARNED_SECONDS else 0


def code_path() -> str | None:
    """Return the folder that Python needs to be told of to find neuroflow: None for an installed one."""
    root = Path(__file__).resolve().parents[2]
    installed = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}
    return None if root in installed else str(root)


def payload_file(delayed: DelayedSubmission, *, time_minutes: int) -> bytes:
    """Return the pickled payload: the name of a function of ours, and its argument."""
    delayed.set_timeout(time_minutes, 0)
    return pickle.dumps(delayed, protocol=_PICKLE_PROTOCOL)


def check_folder(folder: str, *, forbidden: Sequence[str] = ("%", "\\")) -> None:
    """Refuse a folder name that submitit or SLURM would change.

    Raises:
        SubmissionRefused: with the reason.
    """
    bad = [character for character in folder if character in forbidden or not character.isprintable()]
    if bad or not folder.startswith("/"):
        problem = f"holds {bad[0]!r}, which SLURM and submitit replace" if bad else "is not absolute"
        raise SubmissionRefused(
            f"the job folder {folder!r} {problem}", transient=False, hint="choose another paths.state_dir"
        )
