"""The snapshot: the status in a file that the poller leaves, for those who may not read the database."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from neuroflow.errors import NeuroflowError, UsageError
from neuroflow.sharing import open_private
from neuroflow.views.status_document import SCHEMA, document

if TYPE_CHECKING:
    from neuroflow.config import NeuroflowConfig

log = structlog.get_logger(__name__)

NAME = "status.json"
_READABLE = 0o644
# Some kilobytes are usual: whatever is larger was not written by us.
_LARGEST_BYTES = 20_000_000


def snapshot_path(config: NeuroflowConfig) -> Path:
    """Return where a configuration's snapshot lies."""
    return config.status.snapshot or config.paths.state_dir / NAME


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
    from neuroflow.views.status import read_status  # late: whoever reads a snapshot needs no database

    try:
        text = json.dumps(document(read_status(config)), indent=1)
        _write(path, text, for_everybody=config.status.open)
    except (NeuroflowError, OSError) as error:
        log.warning("status.snapshot_not_written", path=str(path), error=str(error))
        return False
    return True


def read_snapshot(path: Path) -> dict[str, Any]:
    """Return the status that a snapshot holds.

    Raises:
        UsageError: when there is none, or it was written by another release in another form.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_BYTES + 1)
        value = json.loads(data) if len(data) <= _LARGEST_BYTES else None
    except OSError as error:
        raise UsageError(
            f"the snapshot {path} can't be read: {error.strerror}",
            hint="`neuroflow up` leaves one in status.json of its state folder, or where `status.snapshot` says; "
            "`status.open: true` lets other users read it",
        ) from error
    except ValueError:
        value = None
    if not isinstance(value, Mapping) or "schema" not in value or "pipelines" not in value:
        raise UsageError(f"{path} is no snapshot of neuroflow's status", hint="see docs/status.md")
    if value["schema"] != SCHEMA:
        raise UsageError(
            f"the snapshot {path} has schema {value['schema']!r}, and this neuroflow reads {SCHEMA}",
            hint="use the neuroflow release that writes it",
        )
    return dict(value)


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
