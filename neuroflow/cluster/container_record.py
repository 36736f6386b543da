"""Keep an attempt's ContainerRun beside it, so that its results can be read after any restart."""

from __future__ import annotations

import json
from dataclasses import asdict

from neuroflow.domain import Bind, ContainerRun, InputRule, OutputRule

FILE_NAME = "container.json"


def container_record(run: ContainerRun) -> bytes:
    """Return the content of `container.json`."""
    return json.dumps(asdict(run), indent=2).encode()


def parse_container_record(data: bytes | None) -> ContainerRun | None:
    """Return what `container_record` was given, or None where it is missing or damaged."""
    try:
        raw = json.loads(data or b"")
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
                "inputs": tuple(InputRule(**{**rule, "names": tuple(rule["names"])}) for rule in raw.get("inputs", ())),
            }
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
