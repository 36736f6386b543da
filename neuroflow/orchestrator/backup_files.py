"""The backups that lie in their folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neuroflow.config import NeuroflowConfig

SUFFIX = ".nfbackup"


@dataclass(frozen=True)
class BackupFile:
    """A backup that lies in the folder of backups."""

    path: Path
    bytes: int
    modified_at: float  # seconds since the epoch


def list_backups(config: NeuroflowConfig) -> list[BackupFile]:
    """Return the backups in their folder, newest first."""
    try:
        found = [(path, path.stat()) for path in config.backups_dir.glob(f"*{SUFFIX}")]
    except OSError:
        return []
    files = [BackupFile(path, stat.st_size, stat.st_mtime) for path, stat in found]
    return sorted(files, key=lambda file: (file.modified_at, file.path.name), reverse=True)
