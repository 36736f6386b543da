"""What the attempts of a run left to be read: logs, scripts, crash files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath

from neuroflow.cluster.container_record import FILE_NAME as CONTAINER_NAME
from neuroflow.cluster.container_record import parse_container_record
from neuroflow.cluster.folders import Folders
from neuroflow.cluster.job import JOB_NAME
from neuroflow.cluster.quarantine import FOLDER_NAME as QUARANTINE
from neuroflow.cluster.submit import ELEMENTS_NAME, PAYLOAD_NAME, SCRIPT_NAME
from neuroflow.core.state import StateManager
from neuroflow.domain import AttemptRecord, ContainerRun
from neuroflow.errors import NotFoundError
from neuroflow.orchestrator.services import Services

STDOUT_NAME = "stdout.log"
STDERR_NAME = "stderr.log"
# Nipype writes these into the folder that it works in, unless it was told another one.
_WORK_CRASHES = ("crash-*",)
_TEXT_ENDINGS = (".txt", ".log", ".err", ".out", ".rst", ".json", ".html")
_BLOCK_BYTES = 64 * 1024
_PIECE_BYTES = 1024 * 1024
_MEANINGS = {
    STDOUT_NAME: "what the tool wrote to standard output",
    STDERR_NAME: "what the tool wrote to standard error",
    JOB_NAME: "what the job was to do",
    CONTAINER_NAME: "the command in its parts, image and binds",
    SCRIPT_NAME: "the sbatch script",
    PAYLOAD_NAME: "what submitit starts",
    ELEMENTS_NAME: "the elements of the array",
    "attempt.json": "which attempt of which run it is",
    "exit.json": "how it ended",
    "claim": "the job that executes it",
    "fenced": "it was given up",
    "inputs.json": "its inputs, with hashes",
    "process.json": "the process that executes it",
    "provenance.json": "where its results come from",
    "publish.json": "what it published",
    "voxelops.json": "what VoxelOps answered",
}


@dataclass(frozen=True)
class AttemptFile:
    """A file in an attempt's folder."""

    name: str
    bytes: int
    modified: datetime
    meaning: str


@dataclass(frozen=True)
class CrashFile:
    """A file that a tool left when it crashed."""

    path: str
    bytes: int
    modified: datetime
    is_text: bool


@dataclass(frozen=True)
class Script:
    """An sbatch script, as it was submitted."""

    path: str
    data: bytes
    note: str  # which element of which array an attempt was; nothing for a job of its own


def choose_attempt(state: StateManager, run_id: int, number: int | None) -> AttemptRecord:
    """Return an attempt of a run: the one of that number, else the newest.

    Raises:
        NotFoundError: when there is no such run or attempt.
    """
    run = state.get_run(run_id)
    attempts = {attempt.number: attempt for attempt in state.attempts_of(run_id)}
    if not attempts:
        raise NotFoundError(f"run {run_id} has no attempt yet: it is {run.status} ({run.reason})")
    wanted = max(attempts) if number is None else number
    if wanted not in attempts:
        raise NotFoundError(f"run {run_id} has no attempt {wanted}; there are: {', '.join(map(str, sorted(attempts)))}")
    return attempts[wanted]


def is_gone(folders: Folders, folder: str) -> bool:
    """Tell whether an attempt's folder is not there any more."""
    look = folders.look([folder], [JOB_NAME])[folder][JOB_NAME]
    return look.data is None and not look.problem


def missing_file(services: Services, attempt: AttemptRecord, name: str) -> NotFoundError:
    """Return the error for a file of an attempt that is not there: its folder is gone, or it was never written."""
    if attempt.ended_at is not None and is_gone(services.folders(attempt.where), attempt.folder):
        return NotFoundError(
            f"the folder of attempt {attempt.number} of run {attempt.run_id} is gone, its logs with it: "
            f"{attempt.folder}",
            hint=f"`neuroflow runs show {attempt.run_id}` has what the database keeps of it",
        )
    return NotFoundError(
        f"attempt {attempt.number} of run {attempt.run_id} has written no {name} (it is {attempt.status}): "
        f"{attempt.folder}/{name}",
        hint=f"`neuroflow logs run {attempt.run_id} --list` shows what there is",
    )


def list_files(services: Services, attempt: AttemptRecord) -> tuple[AttemptFile, ...]:
    """Return the files in an attempt's folder, by name.

    Raises:
        NotFoundError: when the folder is gone.
    """
    found = services.folders(attempt.where).find({attempt.folder: ["*"]})[attempt.folder]
    if not found:
        raise missing_file(services, attempt, "file")
    return tuple(AttemptFile(one.path, one.bytes, _time(one.modified), _meaning(one.path)) for one in found)


def _meaning(name: str) -> str:
    if name.endswith(("_log.out", "_log.err")):
        return "what the job itself wrote, the tool's output included"
    if name.startswith("exit-before-"):
        return "how it ended before SLURM requeued it"
    if name.startswith("life-"):
        return "the mark of a life of its job: one more after each requeue"
    return _MEANINGS.get(name, "")


def crash_files(services: Services, attempt: AttemptRecord) -> tuple[CrashFile, ...]:
    """Return the crash files of an attempt, newest first, wherever its output is now.

    Its output stays in the run's folder until a further attempt puts it into quarantine.
    """
    folders = services.folders(attempt.where)
    container = container_of(folders, attempt)
    if container is None:
        return ()
    output = PurePosixPath(container.output_dir)
    quarantine = str(output.parent / QUARANTINE)
    globs = container.crash_globs
    wanted = {
        container.output_dir: list(globs),
        quarantine: [f"*/{output.name}/{glob}" for glob in globs],
        container.work_dir: list(_WORK_CRASHES),
    }
    found = folders.find({folder: patterns for folder, patterns in wanted.items() if patterns})
    began = attempt.created_at.timestamp()
    crashes = [
        CrashFile(f"{folder}/{one.path}", one.bytes, _time(one.modified), one.path.endswith(_TEXT_ENDINGS))
        for folder, files in found.items()
        for one in files
        # The work folder is the run's: earlier attempts left theirs there as well.
        if folder != container.work_dir or one.modified >= began
    ]
    return tuple(sorted(crashes, key=lambda crash: (crash.modified, crash.path), reverse=True))


def container_of(folders: Folders, attempt: AttemptRecord) -> ContainerRun | None:
    """Return what an attempt was told to run, None where its folder does not say it any more."""
    look = folders.look([attempt.folder], [CONTAINER_NAME])[attempt.folder][CONTAINER_NAME]
    return parse_container_record(look.data)


def script_of(services: Services, attempt: AttemptRecord) -> Script:
    """Return the sbatch script that an attempt was submitted with, its own or its array's.

    Raises:
        NotFoundError: when there never was one, or it is gone.
    """
    if attempt.where != "slurm":
        raise NotFoundError(
            f"attempt {attempt.number} of run {attempt.run_id} ran as a process (where: {attempt.where}): "
            "there is no sbatch script",
            hint=f"`neuroflow logs run {attempt.run_id} --command` shows what it ran",
        )
    folder, note = attempt.folder, ""
    if attempt.array_token is not None:
        # The arrays' folders lie beside the attempts' own.
        folder = str(PurePosixPath(attempt.folder).parent.parent / "arrays" / attempt.array_token)
        note = f"element {attempt.array_index} of the array {attempt.array_token}; it works in {attempt.folder}"
    look = services.folders(attempt.where).look([folder], [SCRIPT_NAME])[folder][SCRIPT_NAME]
    if look.data is None:
        raise NotFoundError(f"the sbatch script can't be read: {look.problem or f'{folder}/{SCRIPT_NAME} is gone'}")
    return Script(f"{folder}/{SCRIPT_NAME}", look.data, note)


def tail_offset(folders: Folders, path: str, *, lines: int) -> int:
    """Return where the last lines of a file start, reading it from its end.

    Raises:
        FileNotFoundError: when there is none.
    """
    end = _size(folders, path)
    start, seen = end, 0
    while start > 0:
        size = min(_BLOCK_BYTES, start)
        block = folders.read_from(path, offset=start - size, limit_bytes=size)
        for position in range(len(block) - 1, -1, -1):
            # The line break at the very end closes the last line, and starts none.
            if block[position] == 0x0A and start - size + position < end - 1:
                seen += 1
                if seen == lines:
                    return start - size + position + 1
        start -= size
    return 0


def _size(folders: Folders, path: str) -> int:
    place = PurePosixPath(path)
    for one in folders.find({str(place.parent): [_literal(place.name)]})[str(place.parent)]:
        if one.path == place.name:
            return one.bytes
    raise FileNotFoundError(path)


def _literal(name: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)


def pieces(folders: Folders, path: str, offset: int) -> Iterator[bytes]:
    """Yield a file from an offset on, piece by piece.

    Raises:
        FileNotFoundError: when there is none.
    """
    while piece := folders.read_from(path, offset=offset, limit_bytes=_PIECE_BYTES):
        yield piece
        offset += len(piece)


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
