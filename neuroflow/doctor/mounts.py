"""Which file system a folder lies on: read the kernel's table of mounts."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from neuroflow.config.disk import exists

# Seen by this machine alone, and gone when it restarts.
MEMORY_TYPES = frozenset({"tmpfs", "ramfs", "devtmpfs"})
# File systems of another machine: locks and shared memory are not what they are on a disk of one's own.
NETWORK_TYPES = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "9p"),
        *("lustre", "gpfs", "mmfs", "beegfs", "ceph", "glusterfs", "pvfs2", "orangefs", "panfs", "wekafs"),
        *("fuse.ceph", "fuse.glusterfs", "fuse.sshfs"),
    }
)
_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """One mounted file system."""

    point: str
    kind: str

    @property
    def in_memory(self) -> bool:
        """Whether it is lost when the machine restarts."""
        return self.kind in MEMORY_TYPES

    @property
    def on_network(self) -> bool:
        """Whether another machine serves it."""
        return self.kind in NETWORK_TYPES


def parse_mounts(text: str) -> tuple[Mount, ...]:
    """Read /proc/self/mounts, where spaces are written as `\\040`."""
    rows = (line.split() for line in text.splitlines())
    return tuple(Mount(_plain(row[1]), row[2]) for row in rows if len(row) >= 3)


def _plain(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), text)


def mount_of(folder: Path, mounts: Iterable[Mount]) -> Mount:
    """Return the file system of a folder; of mounts on one point the last one hides the others."""
    path = os.path.realpath(folder)
    best = Mount("/", "unknown")
    for mount in mounts:
        inside = path == mount.point or path.startswith(mount.point.rstrip("/") + "/")
        if inside and len(mount.point) >= len(best.point):
            best = mount
    return best


def existing(folder: Path) -> Path:
    """Return a folder, or the nearest one above it that exists."""
    while not exists(folder) and folder != folder.parent:
        folder = folder.parent
    return folder
