"""Leave with published results where they come from; standard library only, because jobs import it.

Whoever submits says in `job.json` what the database and the configuration know; the job adds what only its node knows.
The document goes into the attempt's folder as `provenance.json` and into the dataset, whole or not at all.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from neuroflow.cluster.description import DESCRIPTION_NAME, describe_dataset, put_in_place, read_description
from neuroflow.cluster.files import write_json
from neuroflow.cluster.inputs import describe_inputs
from neuroflow.cluster.publish import Plan
from neuroflow.cluster.scratch import filled
from neuroflow.cluster.usage import Usage

INPUTS_NAME = "inputs.json"
PROVENANCE_NAME = "provenance.json"
SCHEMA = 1
_VERSION_SECONDS = 20.0
# What we may know of a tool that says of itself who it is; its name and where its code lies are its own to say.
_OURS_TO_ADD = ("Version", "Container")
# What SLURM tells a job of itself, by the names of the document.
_SLURM_VARIABLES = {
    "cluster": "SLURM_CLUSTER_NAME",
    "partition": "SLURM_JOB_PARTITION",
    "account": "SLURM_JOB_ACCOUNT",
    "qos": "SLURM_JOB_QOS",
    "nodes": "SLURM_JOB_NODELIST",
    "cpus": "SLURM_CPUS_PER_TASK",
    "memory_mb": "SLURM_MEM_PER_NODE",
    "restarts": "SLURM_RESTART_COUNT",
}

Json = dict[str, Any]


@dataclass(frozen=True)
class Work:
    """A job that published: who did it, and when it began."""

    place: Path  # of the attempt whose results were published
    job: Mapping[str, Any]
    plan: Plan
    job_id: str
    host: str
    started: float
    image_id: str
    scratch: Path | None
    usage: Usage | None = None  # of the tool; None where it ran in an earlier attempt, or could not be measured


def note_inputs(job: Mapping[str, Any], place: Path, *, stopped: Callable[[], bool]) -> str:
    """Write down what the tool is about to be given; return why that was not possible."""
    rules = job.get("inputs") or []
    if not job.get("provenance"):
        return ""
    try:
        write_json(place / INPUTS_NAME, {"schema": SCHEMA, "inputs": describe_inputs(rules, stopped=stopped)})
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"the inputs can't be described: {error}"
    return ""


def leave_provenance(work: Work) -> str:
    """Write the provenance of results that are in the dataset; return why that was not possible: they are good."""
    about = work.job.get("provenance") or {}
    if not about:
        return ""
    dataset = Path(work.plan.publish_dir)
    problems = []
    for folder in datasets_of(work.plan):
        try:
            _describe(work.plan, folder, about)
        except (OSError, ValueError) as error:
            problems.append(str(error))
    try:
        document = _document(work, about)
        write_json(work.place / PROVENANCE_NAME, document)
        path = dataset / about["file"]
        path.parent.mkdir(parents=True, exist_ok=True)
        put_in_place(path, document)
    except (OSError, ValueError, KeyError, TypeError) as error:
        problems.append(f"{type(error).__name__}: {error}")
    return "; ".join(problems)


def datasets_of(plan: Plan) -> list[str]:
    """Return the datasets that a plan wrote into: the one itself, as "", and those of `derivatives/` in it."""
    paths = [path.split("/") for path in (*plan.owned, *plan.shared)]
    nested = {"/".join(parts[:2]) for parts in paths if parts[0] == "derivatives" and len(parts) > 2}
    return ["", *sorted(nested)]


def _describe(plan: Plan, folder: str, about: Mapping[str, Any]) -> None:
    written = read_description(Path(plan.output_dir) / folder / DESCRIPTION_NAME)
    target = Path(plan.publish_dir) / folder
    describe_dataset(target, generators_of(written, about), extra=fields_for(folder, about))


def fields_for(folder: str, about: Mapping[str, Any]) -> Json:
    """Return what the description of a dataset says, at `folder` of the run's own, where its tool says nothing."""
    fields = dict(about["description"])
    if folder:
        fields["Name"] = Path(folder).name
        fields.pop("DatasetLinks", None)  # they are relative to the dataset's own folder
    return fields


def generators_of(written: Mapping[str, Any] | None, about: Mapping[str, Any]) -> list[Json]:
    """Return what made the results: first the tool in its own words, where it has any; then we."""
    said = (written or {}).get("GeneratedBy")
    own = [dict(entry) for entry in said if isinstance(entry, Mapping)] if isinstance(said, list) else []
    if not own:
        return [dict(about["tool"]), *about["generators"]]
    known = {name: value for name, value in about["tool"].items() if name in _OURS_TO_ADD}
    return [{**known, **own[0]}, *own[1:], *about["generators"]]


def _document(work: Work, about: Mapping[str, Any]) -> Json:
    known: Json = dict(about["document"])
    ended = time.time()
    software: Json = {
        **known.pop("software"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "runtime": _version_of(known["container"]["runtime"]),
        "tool_says": (read_description(Path(work.plan.publish_dir) / DESCRIPTION_NAME) or {}).get("GeneratedBy"),
    }
    if "SLURM_JOB_ID" in os.environ:
        software["slurm"] = _version_of("sinfo")
    return {
        "schema": SCHEMA,
        **known,
        "command": {
            "program": _filled(about["command"], work.scratch),
            "before": [_filled(words, work.scratch) for words in about["before"]],
            "environment": about["environment"],
            "work_folder": work.job["work_dir"],
        },
        "container": {**known["container"], "image_id_on_node": work.image_id},
        "inputs": _inputs(work.place),
        "outputs": {
            "dataset": work.plan.publish_dir,
            "owned": list(work.plan.owned),
            "shared": list(work.plan.shared),
            "retired": list(work.plan.retired),
        },
        "software": software,
        "job": {
            "id": work.job_id,
            "host": work.host,
            "attempt_folder": str(work.place),
            **({"slurm": _slurm()} if "SLURM_JOB_ID" in os.environ else {}),
        },
        "started_at": _time(work.started),
        "published_at": _time(ended),
        **({} if work.usage is None else {"usage": _usage(work.usage, elapsed=ended - work.started)}),
    }


def _filled(words: Sequence[str], scratch: Path | None) -> list[str]:
    return list(words) if scratch is None else filled(words, scratch)


def _inputs(place: Path) -> list[Json] | None:
    try:
        found: list[Json] = json.loads((place / INPUTS_NAME).read_text(encoding="utf-8"))["inputs"]
    except FileNotFoundError:
        return None
    return found


def _slurm() -> dict[str, str]:
    return {name: os.environ[variable] for name, variable in _SLURM_VARIABLES.items() if variable in os.environ}


def _usage(used: Usage, *, elapsed: float) -> Json:
    return {
        "elapsed_seconds": round(elapsed, 1),
        "cpu_seconds": round(used.cpu_seconds, 1),
        "max_rss_mb": round(used.max_rss_mb, 1),
    }


def _version_of(program: str) -> str:
    """Return what a program says of its version, in one line; nothing for one that is not there."""
    if program in ("host", "voxelops"):
        return ""
    try:
        answer = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=_VERSION_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return ""
    lines = answer.stdout.strip().splitlines()
    return lines[0][:200] if lines and answer.returncode == 0 else ""


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
