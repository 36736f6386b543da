"""Leave the status in a file, for those who may not read the database; whoever looks at the jobs does so."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from neuroflow.cluster.files import Access, rewrite
from neuroflow.errors import NeuroflowError
from neuroflow.views.status import read_status
from neuroflow.views.status_document import document
from neuroflow.views.status_snapshot import snapshot_path

if TYPE_CHECKING:
    from neuroflow.config import NeuroflowConfig

log = structlog.get_logger(__name__)


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
        # Else its owner's alone, or the group's in a shared folder.
        rewrite(path, text.encode(), access=Access.EVERYBODY if config.status.open else Access.AS_FOLDER)
    except (NeuroflowError, OSError) as error:
        log.warning("status.snapshot_not_written", path=str(path), error=str(error))
        return False
    return True


def _is_due(path: Path, *, seconds: float) -> bool:
    try:
        return time.time() - path.stat().st_mtime >= seconds
    except OSError:
        return True
