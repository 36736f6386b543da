"""Keep an attempt's ContainerRun beside it, so that its results can be read after any restart."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from neuroflow.domain import Bind, ContainerRun, OutputRule

FILE_NAME = "container.json"


def write_container_run(folder: Path, run: ContainerRun) -> None:
    """Write `container.json` atomically."""
    temporary = folder / f".{FILE_NAME}.tmp"
    temporary.write_text(json.dumps(asdict(run), indent=2), encoding="utf-8")
    os.replace(temporary, folder / FILE_NAME)  # noqa: PTH105


def read_container_run(folder: Path) -> ContainerRun | None:
    """Return what `write_container_run` wrote, or None where it is missing or damaged."""
    try:
        raw = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
        return ContainerRun(
            **{
                **raw,
                "program": tuple(raw["program"]),
                "arguments": tuple(raw["arguments"]),
                "binds": tuple(Bind(**bind) for bind in raw["binds"]),
                "owned": tuple(raw["owned"]),
                "outputs": tuple(OutputRule(**rule) for rule in raw["outputs"]),
                "crash_globs": tuple(raw["crash_globs"]),
                "bad_input_patterns": tuple(raw["bad_input_patterns"]),
                "before": tuple(tuple(command) for command in raw["before"]),
                "runtime_args": tuple(raw["runtime_args"]),
            }
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None
