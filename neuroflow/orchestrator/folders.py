"""Make the folders that neuroflow writes to: one user's alone, or shared with a group."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from neuroflow.errors import ConfigError
from neuroflow.sharing import PRIVATE_FOLDER, SHARED_FOLDER, group_id, is_shared, share

if TYPE_CHECKING:
    from neuroflow.config import NeuroflowConfig

_OPEN_FOLDER = 0o755


def make_folders(config: NeuroflowConfig) -> None:
    """Make the folders that neuroflow writes to; its own one is closed to other users.

    Raises:
        ConfigError: when one can't be made, or is not shared although `paths.group` says so.
    """
    paths = config.paths
    # A cluster behind SSH makes what its own jobs need, and may keep it where this machine does not see it.
    results = () if config.cluster.is_remote else (paths.derivatives_root,)
    data = (paths.bids_root, *results, paths.work_root)
    own = (paths.state_dir, config.attempts_dir, config.arrays_dir, config.logs_dir)
    if paths.group is None:
        for folder in data:
            _make(folder, _OPEN_FOLDER)
        for folder in own:
            _make(folder, PRIVATE_FOLDER)
        return
    gid = group_id(paths.group)
    if gid is None:
        raise ConfigError(f"paths.group: there is no group '{paths.group}' on this machine", hint="`id` lists yours")
    share()
    for folder in (*data, *own):
        _make(folder, SHARED_FOLDER, gid=gid)
    for folder in own:
        _close(folder, gid)
    for folder in data:
        _open_to_group(folder, gid)


def _make(folder: Path, mode: int, *, gid: int = -1) -> None:
    try:
        if folder.is_dir():  # which raises below a folder that this user can't enter
            return
        folder.mkdir(parents=True, exist_ok=True)
        if gid != -1:
            os.chown(folder, -1, gid)
        # Not mkdir's mode: that is subject to the umask.
        os.chmod(folder, mode)  # noqa: PTH101
    except OSError as error:
        raise ConfigError(
            f"the folder {folder} can't be made: {error.strerror}", hint="make it, or name another under `paths`"
        ) from error


def _close(folder: Path, gid: int) -> None:
    """Make sure that a folder of ours is the group's, and nobody else's."""
    if is_shared(folder) and folder.stat().st_gid == gid:
        return
    try:
        os.chown(folder, -1, gid)
        os.chmod(folder, SHARED_FOLDER)  # noqa: PTH101
    except OSError as error:
        raise _not_shared(folder, gid) from error


def _open_to_group(folder: Path, gid: int) -> None:
    """Make sure that the group can write to a folder of data; what others may read there is its owner's choice."""
    found = folder.stat()
    wanted = stat.S_ISGID | stat.S_IRWXG
    if found.st_gid == gid and found.st_mode & wanted == wanted:
        return
    try:
        os.chown(folder, -1, gid)
        os.chmod(folder, stat.S_IMODE(found.st_mode) | wanted)  # noqa: PTH101
    except OSError as error:
        raise _not_shared(folder, gid) from error


def _not_shared(folder: Path, gid: int) -> ConfigError:
    return ConfigError(
        f"the folder {folder} is not shared with the group that paths.group names",
        hint=f"its owner has to say: chgrp -R {gid} {folder} && chmod -R g+rwX {folder} && "
        f"find {folder} -type d -exec chmod g+s {{}} +",
    )
