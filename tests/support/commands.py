"""Run a command of the test machine, with a time limit and a readable error."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

DEFAULT_SECONDS = 60.0


def run(
    command: Sequence[str | Path],
    *,
    seconds: float = DEFAULT_SECONDS,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a command to its end and return its standard output; raise RuntimeError with all it said if it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=cwd, env=env, timeout=seconds, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def works(command: Sequence[str | Path], *, seconds: float = DEFAULT_SECONDS) -> bool:
    """Tell whether a command is there and succeeds."""
    try:
        run(command, seconds=seconds)
    except (OSError, RuntimeError, subprocess.TimeoutExpired):
        return False
    return True
