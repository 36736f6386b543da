"""Prometheus' own checker of metrics and rules."""

from __future__ import annotations

import shutil
import subprocess

from tests.support.require import require

HOW = "install promtool (Debian: prometheus)"


def promtool(*arguments: str, text: str = "") -> str:
    """Run promtool and return all it said; skip the test without it, fail it when promtool objects."""
    program = shutil.which("promtool")
    require("promtool", program is not None, HOW)
    done = subprocess.run(
        [str(program), *arguments], input=text, capture_output=True, text=True, timeout=60, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said
