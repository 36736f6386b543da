"""A folder of one job's own for what is needed only while it works; standard library only, because jobs import it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SCRATCH_MARK = "@SCRATCH@"  # stands in arguments for a folder that only the node knows


def make_scratch(job: Mapping[str, Any]) -> Path | None:
    """Make a folder of this job's own where a command asks for one: node-local, or in the work directory."""
    texts = [*job["command"], *job["environment"].values(), *(word for line in job["before"] for word in line)]
    if not any(SCRATCH_MARK in text for text in texts):
        return None
    site = os.environ.get("NEUROFLOW_SCRATCH", "").strip()
    if site:
        try:
            Path(site).mkdir(parents=True, exist_ok=True)
            return Path(tempfile.mkdtemp(prefix=f"{job['token']}-", dir=site))
        except OSError as error:
            print(f"neuroflow: no scratch folder in {site} ({error}): the work directory is used", file=sys.stderr)
    root = Path(job["work_dir"]) / "tmp"
    shutil.rmtree(root, ignore_errors=True)  # of an attempt that was killed: one attempt of a run works at a time
    root.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f"{job['token']}-", dir=root))


def filled(command: Sequence[str], scratch: Path | None) -> list[str]:
    """Put the scratch folder's path into a command's words."""
    return [_with_scratch(word, str(scratch)) for word in command]


def _with_scratch(word: str, scratch: str) -> str:
    # Apptainer's mounts are one line of CSV in which every field is quoted: there a quote is written twice.
    return word.replace(SCRATCH_MARK, scratch.replace('"', '""') if word.startswith("type=bind,") else scratch)
