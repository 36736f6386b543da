"""Leave the status in a file, for those who may not read the database; whoever looks at the jobs does so."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from neuroflow.errors import NeuroflowError
from neuroflow.sharing import open_private
from neuroflow.views.status import read_status
from neuroflow.views.status_document import document
from neuroflow.views.status_snapshot import snapshot_path

if TYPE_CHECKING:
    from neuroflow.config import NeuroflowConfig

log = structlog.get_logger(__name__)

_READABLE = 0o644


def leave_snapshot(config: NeuroflowConfig, *, at_once: bool = False) -> bool:
    """Write the snapshot where it is as old as `status.seconds`; tell whether it was written.

    It never raises for a database that is busy, or a file that can't be written: the jobs matter more.

    Args:
        config: names the database, and the file.
        at_once: write it whatever its age, because nobody may come to do it later.
    """
    path = snapshot_path(config)
    if not at_once and not _is_due(path, seconds=config.status.seconds):
        return False
    try:
        text = json.dumps(document(read_status(config)), indent=1)
        _write(path, text, for_everybody=config.status.open)
    except (NeuroflowError, OSError) as error:
        log.warning("status.snapshot_not_written", path=str(path), error=str(error))
        return False
    return True


def _is_due(path: Path, *, seconds: float) -> bool:
    try:
        return time.time() - path.stat().st_mtime >= seconds
    except OSError:
        return True


def _write(path: Path, text: str, *, for_everybody: bool) -> None:
    """Put the file in place whole: whoever reads at the same time gets the former one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # Its owner's alone, or the group's in a shared folder.
        descriptor = open_private(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            if for_everybody:
                os.fchmod(file.fileno(), _READABLE)
            file.write(text)
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
