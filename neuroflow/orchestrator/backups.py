"""Keep backups of the state database: where they lie, when one is due, and which are old enough to go."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from neuroflow.core.backups import Backup, take_backup
from neuroflow.core.database import Database
from neuroflow.core.state import StateManager
from neuroflow.errors import StateError
from neuroflow.orchestrator.backup_files import SUFFIX, list_backups
from neuroflow.orchestrator.keys import BACKUP_KEY

if TYPE_CHECKING:
    from neuroflow.config import NeuroflowConfig
    from neuroflow.orchestrator.services import Services

log = structlog.get_logger(__name__)

# Only these are rotated: what a person named, or a restore kept, stays.
AUTOMATIC = "neuroflow"
_AUTOMATIC = re.compile(AUTOMATIC + r"-\d{8}T\d{6}Z(-\d+)?\.nfbackup", re.ASCII)
_UNFINISHED = (f".*{SUFFIX}.*.tmp", ".*.copy", ".*.copy-journal")
_UNFINISHED_HOURS = 24.0


def new_backup(config: NeuroflowConfig, now: datetime, *, prefix: str = AUTOMATIC) -> Path:
    """Return the path of a backup to be taken at a time (UTC)."""
    name = f"{prefix}-{now:%Y%m%dT%H%M%SZ}"
    path, number = config.backups_dir / f"{name}{SUFFIX}", 1
    while path.exists():  # two within a second
        number += 1
        path = config.backups_dir / f"{name}-{number}{SUFFIX}"
    return path


def backup_now(database: Database, path: Path, *, now: datetime) -> Backup:
    """Take a backup, and note that it was taken.

    Raises:
        StateError: when the database can't be read, or the file can't be written.
    """
    backup = take_backup(database, path)
    log.info("backup.taken", path=str(path), rows=backup.summary.total, bytes=backup.bytes)
    value = {"path": str(path), "at": now.timestamp(), "bytes": backup.bytes, "rows": backup.summary.total}
    try:
        database.check()
        StateManager(database).set_value(BACKUP_KEY, value)
    except StateError as error:  # of another schema: the backup is good all the same
        log.warning("backup.not_noted", error=str(error))
    return backup


def backup_if_due(services: Services) -> Backup | None:
    """Take the automatic backup when the last one is old enough, and remove those beyond `database.backup.keep`.

    Raises:
        StateError: when it is due and can't be taken.
    """
    settings = services.config.database.backup
    if settings.every_hours == 0:
        return None
    now = services.clock()
    last = services.state.get_value(BACKUP_KEY)
    # A little early: the task that asks comes once an hour, not to the second.
    due = timedelta(hours=settings.every_hours) - timedelta(minutes=5)
    if last is not None and now - datetime.fromtimestamp(last[0].get("at", 0.0), now.tzinfo) < due:
        return None
    backup = backup_now(services.database, new_backup(services.config, now), now=now)
    _rotate(services.config)
    _remove_unfinished(services.config, now=now)
    return backup


def _rotate(config: NeuroflowConfig) -> None:
    ours = [file for file in list_backups(config) if _AUTOMATIC.fullmatch(file.path.name)]
    for file in ours[config.database.backup.keep :]:
        try:
            file.path.unlink()
        except OSError as error:
            log.warning("backup.not_removed", path=str(file.path), error=str(error))
        else:
            log.info("backup.removed", path=str(file.path))


def _remove_unfinished(config: NeuroflowConfig, *, now: datetime) -> None:
    """Remove what backups left that were killed long ago: the copy of a database may be large."""
    for pattern in _UNFINISHED:
        for path in config.backups_dir.glob(pattern):
            with suppress(OSError):
                if now.timestamp() - path.stat().st_mtime > _UNFINISHED_HOURS * 3600:
                    path.unlink()
