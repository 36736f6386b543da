"""Read what sbatch answered: a job id, a refusal, or nothing that could be relied on."""

from __future__ import annotations

import re

from neuroflow.cluster.transport import CompletedCommand
from neuroflow.errors import CallBudgetExhausted, CommandError, HostUnreachable, SubmissionRefused, SubmissionUncertain

_JOB_ID = re.compile(r"(\d+)(?:;[\w.-]+)?", re.ASCII)

# The request may have reached the controller, whatever sbatch thinks (slurm_errno.c).
_AMBIGUOUS = re.compile(
    r"Socket timed out|receive failure|Zero Bytes were transmitted|Message receive|Connection timed out|"
    r"Unexpected message received",
    re.IGNORECASE,
)
# The controller did not hear of the request.
_UNREACHABLE = re.compile(
    r"connect failure|Unable to contact slurm controller|send failure|Connection refused|in standby mode|"
    r"Unable to create TCP connection|Transport endpoint is not connected|Resource temporarily unavailable",
    re.IGNORECASE,
)
# Limits and load: the same request may pass later.
_TRANSIENT = re.compile(
    r"temporarily unable to accept|Rate limit exceeded|MaxJobCount|job queue full|MaxSubmitJob|MaxSubmitPU|"
    r"job submit limit|Slurm database|try again later",
    re.IGNORECASE,
)
_SBATCH_SPOKE = re.compile(r"^sbatch: (?:error|fatal)|Batch job submission failed|unrecognized option", re.MULTILINE)


def job_id_of(answer: CompletedCommand) -> str:
    """Return the job id from sbatch's answer to --parsable.

    Raises:
        SubmissionRefused: when sbatch said that it made no job.
        SubmissionUncertain: when a job may exist.
    """
    # Site wrappers print banners: the id is the last line that says anything, and alone on it.
    lines = [line.strip() for line in answer.stdout.splitlines() if line.strip()]
    match = _JOB_ID.fullmatch(lines[-1]) if lines else None
    if answer.exit_code == 0 and match is not None:
        return match[1]
    said = _said(answer)
    if answer.exit_code == 0 or answer.exit_code < 0 or match is not None or _AMBIGUOUS.search(answer.stderr):
        raise SubmissionUncertain(
            f"sbatch ended with {answer.exit_code} and no usable job id, so a job may exist: {said}",
            hint="the attempt is searched by its token in squeue and sacct before anything is submitted again",
        )
    unreachable = _UNREACHABLE.search(answer.stderr) is not None
    if unreachable or _TRANSIENT.search(answer.stderr):
        raise SubmissionRefused(f"SLURM takes no job at present: {said}", transient=True, unreachable=unreachable)
    if _SBATCH_SPOKE.search(answer.stderr):
        raise SubmissionRefused(
            f"sbatch refused the job: {said}",
            transient=False,
            hint="check account, partition, qos, limits and sbatch_lines under `cluster` and `pipelines`",
        )
    raise SubmissionUncertain(f"sbatch ended with {answer.exit_code} and does not say whether a job was made: {said}")


def is_passing(text: str) -> bool:
    """Tell whether sbatch complains of something that passes: a limit, load, a controller that does not answer."""
    return any(pattern.search(text) for pattern in (_AMBIGUOUS, _UNREACHABLE, _TRANSIENT))


def translated(error: CommandError) -> SubmissionRefused | SubmissionUncertain:
    """Say what it means that sbatch did not start, or did not end in time."""
    if isinstance(error, (CallBudgetExhausted, HostUnreachable)):
        return SubmissionRefused(str(error), transient=True, hint=error.hint)
    if error.timed_out:
        return SubmissionUncertain(
            f"{error}; a job may exist",
            hint="the attempt is searched by its token in squeue and sacct before anything is submitted again",
        )
    return SubmissionRefused(str(error), transient=False, hint=error.hint)


def _said(answer: CompletedCommand) -> str:
    lines = [line.strip() for line in (answer.stderr or answer.stdout).splitlines() if line.strip()]
    return " / ".join(lines[-3:])[:500] or "no output"
