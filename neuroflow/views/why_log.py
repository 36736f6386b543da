"""The telling lines of an attempt that failed: its tool's errors, and the crash files that it left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath

from neuroflow.cluster.container_record import FILE_NAME as CONTAINER_NAME
from neuroflow.cluster.container_record import parse_container_record
from neuroflow.cluster.folders import Folders
from neuroflow.cluster.job import RECORD_NAME
from neuroflow.cluster.records import parse_exit_record
from neuroflow.cluster.step_log import step_log
from neuroflow.domain import AttemptRecord
from neuroflow.errors import NeuroflowError
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.signature import meaningful_lines, telling_line
from neuroflow.views.why_answer import CrashFile, FailureAnswer
from neuroflow.views.why_failed import no_room

_TAIL_BYTES = 16 * 1024
_LINES = 8
_BEFORE = 5  # of these before the line that says most
_MOST_CRASH_FILES = 3
_TEXT_ENDINGS = (".txt", ".log", "")


def with_evidence(failure: FailureAnswer, attempt: AttemptRecord, services: Services) -> FailureAnswer:
    """Add what an attempt's folder tells; where it can't be read, why not."""
    if attempt.job_id is None and attempt.ended_at is not None:
        return replace(failure, note=failure.note or "no job of it ever existed, and so no log")
    folders = services.folders(attempt.where)
    try:
        log, lines = _log(folders, attempt)
        crash_files = _crash_files(folders, attempt)
    except (NeuroflowError, OSError) as error:
        return replace(failure, note=failure.note or f"its folder {attempt.folder} can't be read: {error}")
    note = failure.note or no_room("\n".join(lines))
    if not lines and not crash_files and not note:
        note = f"there is no log of it in {attempt.folder}, or that folder is gone"
    return replace(failure, log=log, lines=lines, crash_files=crash_files, note=note)


def _log(folders: Folders, attempt: AttemptRecord) -> tuple[str, tuple[str, ...]]:
    """Return the first log that says something: the tool's errors, its output, or the job's own."""
    names = ["stderr.log", "stdout.log"]
    paths = [f"{attempt.folder}/{name}" for name in names]
    if attempt.job_id is not None and attempt.where == "slurm":
        paths.append(str(step_log(attempt.folder, attempt.job_id)))
    for path in paths:
        lines = telling_lines(_tail(folders, path))
        if lines:
            return path, lines
    return "", ()


def telling_lines(text: str) -> tuple[str, ...]:
    """Return the few lines around the one that says most of an error."""
    lines = meaningful_lines(text)
    if not lines:
        return ()
    most = len(lines) - 1 - lines[::-1].index(telling_line(text))
    first = max(min(most - _BEFORE, len(lines) - _LINES), 0)
    return tuple(lines[first : first + _LINES])


def _crash_files(folders: Folders, attempt: AttemptRecord) -> tuple[CrashFile, ...]:
    looks = folders.look([attempt.folder], [RECORD_NAME, CONTAINER_NAME])[attempt.folder]
    record = parse_exit_record(looks[RECORD_NAME], token=attempt.token)
    run = parse_container_record(looks[CONTAINER_NAME].data)
    if record is None or run is None:
        return ()
    return tuple(_crash_file(folders, run.output_dir, name) for name in record.crash_files[:_MOST_CRASH_FILES])


def _crash_file(folders: Folders, output_dir: str, name: str) -> CrashFile:
    path = str(PurePosixPath(output_dir) / name)
    is_text = PurePosixPath(name).suffix in _TEXT_ENDINGS
    return CrashFile(path, telling_lines(_tail(folders, path)) if is_text else ())


def _tail(folders: Folders, path: str) -> str:
    try:
        data = folders.read_from(path, offset=-_TAIL_BYTES, limit_bytes=_TAIL_BYTES)
    except FileNotFoundError:
        return ""
    return data.decode("utf-8", errors="replace")
