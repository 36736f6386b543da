"""Tell from an exit record and SLURM's word why an attempt failed."""

from __future__ import annotations

import re
import signal

from neuroflow.domain import AttemptRecord, ExitRecord, FailureClass, JobState, folder_gone

# SLURM and the kernel kill at the limit; what was measured last is a little below it.
_MEMORY_SHARE = 0.95
_TIME_SHARE = 0.95
_CANT_EXECUTE = (126, 127)
_RUNTIME_CODES = {255: "the container runtime", 125: "docker or podman"}
_RUNTIME_FAILED = re.compile(r"^(?:FATAL:\s|(?:docker|podman|Error): )", re.MULTILINE)
# The words of our own shell, which starts a tool on the host (adapters/runtimes/host.py).
_NO_PROGRAM = re.compile(r"^neuroflow: .*(?:not found|Permission denied)", re.MULTILINE)
_LICENCE_MISSING = re.compile(r"valid license file is required|FreeSurfer license|FreeSurfer licence", re.IGNORECASE)

CLASS_OF_STATE = {
    JobState.OUT_OF_MEMORY: FailureClass.OUT_OF_MEMORY,
    JobState.TIMEOUT: FailureClass.TIMEOUT,
    JobState.NODE_FAIL: FailureClass.NODE,
    JobState.PREEMPTED: FailureClass.PREEMPTED,
    JobState.CANCELLED: FailureClass.CANCELLED,
}


def of_record(
    attempt: AttemptRecord, record: ExitRecord, state: JobState | None, rss: float | None, *, over_memory: str = ""
) -> tuple[FailureClass, str]:
    """Return the class of a failure that left an exit record, and the reason in words.

    Args:
        state: SLURM's final state, None where it is not known.
        rss: the largest memory that a witness measured (MiB).
        over_memory: the words in which SLURM's step daemon ended the job for its memory, if it did.
    """
    if record.bad_input:
        gone = folder_gone(record.bad_input)
        return FailureClass.BAD_INPUT, gone or f"the tool refused its input: {record.bad_input}"
    if state in CLASS_OF_STATE:
        return CLASS_OF_STATE[state], _by_slurm(attempt, record, state)
    if over_memory:  # before `stopped_by`: SIGTERM may have come first
        return FailureClass.OUT_OF_MEMORY, _over(attempt, over_memory)
    # Off SLURM it may have been another run's process: a login session's processes are counted together.
    if record.oom_kills and (record.exit_code != 0 or attempt.where == "slurm"):
        return FailureClass.OUT_OF_MEMORY, f"the kernel killed a process; it had {attempt.resources.memory_mb} MiB"
    if record.stopped_by:
        return _stopped(attempt, record, state)
    if record.missing_outputs:
        return FailureClass.NO_OUTPUT, "exit code 0, but declared outputs are missing: " + "; ".join(
            record.missing_outputs
        )
    if record.exit_code == 0:
        return FailureClass.APPLICATION, _after_zero(record)
    return _by_exit_code(attempt, record, rss)


def of_state(
    attempt: AttemptRecord,
    state: JobState,
    *,
    word: str,
    killed_by: int | None,
    rss: float | None,
    over_memory: str = "",
) -> tuple[FailureClass, str]:
    """Return the class of a failure without an exit record, by SLURM's final state and its step daemon's words."""
    if state in CLASS_OF_STATE:
        return CLASS_OF_STATE[state], f"it ended as {word} and left no exit record"
    if over_memory:
        return FailureClass.OUT_OF_MEMORY, _over(attempt, over_memory)
    if killed_by == signal.SIGKILL and _at_limit(attempt, rss):
        return FailureClass.OUT_OF_MEMORY, f"killed at {rss:.0f} MiB of {attempt.resources.memory_mb} MiB requested"
    return FailureClass.NODE, f"it ended as {word} and left no exit record: see its logs in {attempt.folder}"


def _by_slurm(attempt: AttemptRecord, record: ExitRecord, state: JobState) -> str:
    request = attempt.resources
    ended = f"exit code {record.exit_code}" if record.exit_code is not None else "no exit code"
    limits = {
        JobState.OUT_OF_MEMORY: f"it had {request.memory_mb} MiB",
        JobState.TIMEOUT: f"it had {request.time_minutes} min",
        JobState.NODE_FAIL: f"on {record.host}",
    }
    return f"SLURM says {state.value.upper()} ({limits.get(state, ended)})"


def _stopped(attempt: AttemptRecord, record: ExitRecord, state: JobState | None) -> tuple[FailureClass, str]:
    request_seconds = attempt.resources.time_minutes * 60
    lasted = record.ended_at - record.started_at
    if record.stopped_by in ("SIGUSR2", "SIGXCPU", "TIME_LIMIT") or lasted >= _TIME_SHARE * request_seconds:
        text = f"stopped by {record.stopped_by} after {lasted / 60:.0f} of {attempt.resources.time_minutes} min"
        return FailureClass.TIMEOUT, text
    if attempt.where == "slurm" and state is None:
        # slurmd does so to the steps of a job that its controller has forgotten. A person's scancel, SLURM would know.
        return FailureClass.NODE, f"stopped by {record.stopped_by} on {record.host}, and SLURM does not say why"
    return FailureClass.CANCELLED, f"stopped by {record.stopped_by} after {lasted / 60:.0f} min"


def _after_zero(record: ExitRecord) -> str:
    if record.crash_files:
        return f"exit code 0, but the tool left crash files: {', '.join(record.crash_files[:3])}"
    return f"exit code 0, but the results were not published: {record.error or 'no reason given'}"


def _by_exit_code(attempt: AttemptRecord, record: ExitRecord, rss: float | None) -> tuple[FailureClass, str]:
    code, last = record.exit_code, _last_line(record.stderr_tail)
    if code is None:
        return FailureClass.APPLICATION, f"neuroflow's own part of the job failed: {record.error}"
    if record.signal == signal.SIGKILL and _at_limit(attempt, rss):
        return FailureClass.OUT_OF_MEMORY, f"killed at {rss:.0f} MiB of {attempt.resources.memory_mb} MiB requested"
    if code in _CANT_EXECUTE and record.error:
        return FailureClass.SITE, f"{record.error} (on {record.host})"
    if code in _CANT_EXECUTE and _NO_PROGRAM.search(record.stderr_tail):
        return FailureClass.SITE, f"the program can't be started on {record.host}: {last}"
    if code in _RUNTIME_CODES and _RUNTIME_FAILED.search(record.stderr_tail):
        return FailureClass.SITE, f"{_RUNTIME_CODES[code]} failed with exit code {code}: {last}"
    if _LICENCE_MISSING.search(record.stderr_tail):
        return FailureClass.SITE, f"exit code {code}, a licence is missing: {last}"
    return FailureClass.APPLICATION, f"exit code {code}: {record.error or last or 'nothing on stderr'}"


def _over(attempt: AttemptRecord, words: str) -> str:
    return f"SLURM ended it above the {attempt.resources.memory_mb} MiB requested: {words}"


def _at_limit(attempt: AttemptRecord, rss: float | None) -> bool:
    return rss is not None and rss >= _MEMORY_SHARE * attempt.resources.memory_mb


def _last_line(text: str) -> str:
    lines = [line.strip() for line in re.split(r"[\r\n]", text) if line.strip()]
    return lines[-1][:300] if lines else ""
