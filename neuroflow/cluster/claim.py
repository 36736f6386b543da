"""Let one job, and no other, execute a token; standard library only, because jobs import it."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path

from neuroflow.cluster.files import is_listed_in, read_own_file, sync_folder
from neuroflow.sharing import open_private

FILE_NAME = "claim"
FENCE_NAME = "fenced"
REVOKED = "revoked"
_LIMIT_BYTES = 200
_JOB_ID = re.compile(r"\d+(?:[_:]\d+)?", re.ASCII)
_WAIT_SECONDS = 3.0


class Hold(Enum):
    """Whose a folder is, for one that has asked for it."""

    FIRST = auto()  # its own from now on
    AGAIN = auto()  # its own already: an earlier life of this job had it
    DENIED = auto()  # another's


def take(folder: Path, claimant: str) -> Hold:
    """Claim a folder for a job id or for REVOKED.

    The first one wins, on a network file system too: O_EXCL is atomic there since NFS version 3.
    """
    path = folder / FILE_NAME
    try:
        descriptor = open_private(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        return Hold.AGAIN if holder(folder, wait_seconds=_WAIT_SECONDS) == claimant else Hold.DENIED
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(claimant)
        stream.flush()
        os.fsync(stream.fileno())
    sync_folder(folder)
    return Hold.FIRST


def revoke(folder: Path) -> bool:
    """Forbid every job to have a folder; False where one has it already."""
    return take(folder, REVOKED) is not Hold.DENIED


def fence(folder: Path) -> None:
    """Forbid an attempt to work from now on, its present job too; harmless when repeated.

    A claim can't do this: a job that SLURM requeues keeps its id, and with it its claim.

    Raises:
        OSError: when it can't be written.
    """
    folder.mkdir(exist_ok=True)  # without its parents: a fence in place of a file system that is away fences nothing
    with suppress(FileExistsError):
        os.close(open_private(folder / FENCE_NAME, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    sync_folder(folder)


def is_fenced(folder: Path) -> bool:
    """Tell whether an attempt has been given up."""
    return is_listed_in(folder, FENCE_NAME)


def holder(folder: Path, *, wait_seconds: float = 0.0) -> str | None:
    """Return the job id (or REVOKED) that holds a folder; '' if that can't be read, None if nobody does.

    A claim that is still being written is empty for a moment: the caller may wait for it.
    """
    end = time.monotonic() + wait_seconds
    while True:
        text = ""
        try:
            text = read_own_file(folder / FILE_NAME, limit_bytes=_LIMIT_BYTES).decode("ascii").strip()
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            pass
        if text or time.monotonic() >= end:
            return text
        time.sleep(0.1)


def claimed_job_id(folder: Path) -> str | None:
    """Return the id of the job that executes a folder, where there is one that can be read."""
    with suppress(OSError):
        return job_id_in((holder(folder) or "").encode())
    return None


def job_id_in(claim: bytes | None) -> str | None:
    """Return the job id that the content of a claim file names, None where it names none."""
    text = (claim or b"").decode("ascii", errors="replace").strip()
    return text if _JOB_ID.fullmatch(text) else None


def is_revoked(claim: bytes | None) -> bool:
    """Tell whether the content of a claim file says that no job may ever have the folder."""
    return (claim or b"").strip() == REVOKED.encode()
