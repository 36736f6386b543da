"""Beat's scheduler, which leaves a sign of life in the state folder each time that it looks at the schedule."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from celery.beat import PersistentScheduler

from neuroflow.sharing import open_private

SIGN_NAME = "beat.alive"


def sign_file(state_dir: Path) -> Path:
    """Return the file whose time of change tells when beat last looked at its schedule."""
    return state_dir / SIGN_NAME


class WatchedScheduler(PersistentScheduler):  # type: ignore[misc]
    """Celery's own scheduler, and a file that is touched at each look."""

    def tick(self, *arguments: Any, **named: Any) -> float:
        """Send what is due, and return how long to sleep (s)."""
        seconds = float(super().tick(*arguments, **named))
        # A full disk must not stop the schedule: without the sign, beat is restarted at worst.
        with suppress(OSError):
            _touch(sign_file(Path(self.app.neuroflow_config.paths.state_dir)))
        return seconds


def _touch(path: Path) -> None:
    os.close(open_private(path, os.O_WRONLY | os.O_CREAT))
    os.utime(path)
