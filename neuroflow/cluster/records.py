"""Write what a job is to do, and read what it left; JSON both ways, and never trusted on the way back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

import structlog

from neuroflow.cluster.container_record import FILE_NAME as CONTAINER_NAME
from neuroflow.cluster.container_record import container_record
from neuroflow.cluster.files import json_bytes
from neuroflow.cluster.folders import FileLook, look_at
from neuroflow.cluster.job import JOB_NAME, RECORD_NAME, SCHEMA
from neuroflow.cluster.request import JobRequest
from neuroflow.domain import ExitRecord

log = structlog.get_logger(__name__)

JOURNAL_NAME = "attempt.json"
# Their images are files, of which the job notes what it saw.
_FILE_RUNTIMES = ("apptainer", "singularity")
# Their processes are the job's own; those of Docker and Podman belong to a service.
_MEASURED_RUNTIMES = (*_FILE_RUNTIMES, "host")
_TEXT_LIMIT = 64 * 1024
_LIST_LIMIT = 1000


def attempt_files(job: JobRequest, *, time_limit_seconds: float | None = None) -> dict[str, bytes]:
    """Return the files of an attempt's folder that say what is to run.

    Args:
        time_limit_seconds: after which the job ends its command itself, where no scheduler does.
    """
    return {
        JOB_NAME: _job_file(job, time_limit_seconds=time_limit_seconds),
        CONTAINER_NAME: container_record(job.run),
        JOURNAL_NAME: json_bytes(dict(job.journal)),
    }


def _job_file(job: JobRequest, *, time_limit_seconds: float | None) -> bytes:
    run = job.run
    return json_bytes(
        {
            "schema": SCHEMA,
            "token": job.token,
            "pipeline": job.pipeline,
            "scope": job.scope,
            "before": run.before,
            "command": job.command,
            "image": run.image if run.runtime in _FILE_RUNTIMES else None,
            "measured": run.runtime in _MEASURED_RUNTIMES,
            # A container gets its environment by the runtime's own options, in `command`.
            "environment": dict(run.environment) if run.runtime == "host" else {},
            "output_dir": run.output_dir,
            "work_dir": run.work_dir,
            "publish_dir": run.publish_dir,
            "owned": run.owned,
            "outputs": [{"pattern": rule.pattern, "min_count": rule.min_count} for rule in run.outputs],
            "crash_globs": run.crash_globs,
            "bad_input_patterns": run.bad_input_patterns,
            "time_limit_seconds": time_limit_seconds,
            "inputs": [asdict(rule) for rule in run.inputs],
            "provenance": dict(job.provenance),
        },
    )


def read_exit_record(folder: str | Path, *, token: str) -> ExitRecord | None:
    """Return the exit record of an attempt in a folder of this machine; see `parse_exit_record`."""
    return parse_exit_record(look_at(Path(folder) / RECORD_NAME), token=token)


def parse_exit_record(look: FileLook, *, token: str) -> ExitRecord | None:
    """Return the exit record of an attempt, or None: one that is missing or malformed is no verdict."""
    try:
        if look.problem:
            raise ValueError(look.problem)
        if look.data is None:
            return None
        record = _checked(json.loads(look.data))
        if record.token != token:
            raise ValueError(f"it belongs to '{record.token}'")
    except (ValueError, RecursionError) as error:
        log.warning("exit_record.unusable", token=token, problem=str(error))
        return None
    return record


def _checked(raw: Any) -> ExitRecord:
    if not isinstance(raw, dict) or raw.get("schema") != SCHEMA:
        raise ValueError(f"it is no exit record of schema {SCHEMA}")
    values = {}
    for name, check in _CHECKS.items():
        if name in raw:
            values[name] = check(name, raw[name])
        elif name in _REQUIRED:  # a job of an older release may lack the newer ones, which have defaults
            raise ValueError(f"its field '{name}' is missing")
    return ExitRecord(**values)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong(name, value, "a text")
    return value[:_TEXT_LIMIT]


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > 2**31:
        raise _wrong(name, value, "a whole number")
    return value


def _number(name: str, value: Any) -> float:
    # Up to the year 9999: later times can't be shown.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 253402300800:
        raise _wrong(name, value, "a number")
    return float(value)


def _yes_or_no(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(name, value, "true or false")
    return value


def _texts(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > _LIST_LIMIT:
        raise _wrong(name, value, f"a list of at most {_LIST_LIMIT} texts")
    return tuple(_text(name, item) for item in value)


def _optional(check: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    return lambda name, value: None if value is None else check(name, value)


def _wrong(name: str, value: Any, wanted: str) -> ValueError:
    return ValueError(f"its field '{name}' is {str(value)[:60]!r}, and should be {wanted}")


_REQUIRED = frozenset(field.name for field in fields(ExitRecord) if field.default is MISSING)

_CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "token": _text,
    "job_id": _text,
    "exit_code": _optional(_whole),
    "signal": _optional(_whole),
    "host": _text,
    "started_at": _number,
    "ended_at": _number,
    "stderr_tail": _text,
    "max_rss_mb": _optional(_number),
    "crash_files": _texts,
    "missing_outputs": _texts,
    "published": _yes_or_no,
    "error": _text,
    "restart_count": _whole,
    "bad_input": _text,
    "oom_kills": _whole,
    "stopped_by": _text,
    "quarantined": _texts,
    "results_of": _text,
    "image_id": _text,
    "provenance": _text,
    "cpu_seconds": _optional(_number),
    "tool_ran": _yes_or_no,
}
