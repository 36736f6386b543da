"""Tell the lives of one job apart; standard library only, because jobs import it.

SLURM gives up a node that is silent, and starts the job again elsewhere, under its own id. The former life may go on
all the same, in the same folders. So each life leaves a mark when it begins, `life-1`, `life-2` and so on, and looks
for later ones before it publishes anything, and before it leaves a record: only the present one, the last, may.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from neuroflow.cluster.files import sync_folder
from neuroflow.sharing import open_private

_MARK = re.compile(r"life-(\d+)", re.ASCII)


def begin_life(folder: Path) -> int:
    """Make this the present life of the job that holds an attempt's folder, and return its number, from 1."""
    number = present_life(folder)
    while True:
        number += 1
        try:
            os.close(open_private(folder / f"life-{number}", os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        sync_folder(folder)
        return number


def present_life(folder: Path) -> int:
    """Return the number of the life that began last; 0 where none has left its mark.

    The folder is listed, as a network file system asks its server then; a look at names may be answered from memory.
    """
    with os.scandir(folder) as scan:
        marks = [_MARK.fullmatch(entry.name) for entry in scan]
    return max((int(mark[1]) for mark in marks if mark), default=0)
