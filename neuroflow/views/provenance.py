"""Where a run's results come from: what its job wrote, and what the database knows since."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from neuroflow import __version__
from neuroflow.cluster.description import DESCRIPTION_NAME
from neuroflow.cluster.folders import Folders
from neuroflow.cluster.job import JOB_NAME
from neuroflow.cluster.provenance import (
    INPUTS_NAME,
    PROVENANCE_NAME,
    SCHEMA,
    datasets_of,
    fields_for,
    generators_of,
)
from neuroflow.cluster.publish import PLAN_NAME, Plan, parse_plan
from neuroflow.domain import AttemptRecord, AttemptStatus, RunRecord, RunStatus
from neuroflow.errors import ClusterError, NotFoundError
from neuroflow.masking import mask_command
from neuroflow.orchestrator.provenance import attempt_history, dataset_of, provenance_file
from neuroflow.orchestrator.services import Services
from neuroflow.views.run_logs import container_of, pieces

Json = dict[str, Any]


@dataclass(frozen=True)
class RunProvenance:
    """A run's provenance, and where it was found."""

    document: Json
    found_in: str  # the file; empty where nothing was written, and it was put together now
    belongs_in: str  # the file of the dataset
    problems: tuple[str, ...] = ()  # what is not there any more


def provenance_of(services: Services, run_id: int) -> RunProvenance:
    """Return the provenance of a completed run.

    Raises:
        NotFoundError: when there is no such run, or it has no results.
    """
    run = services.state.get_run(run_id)
    attempts = services.state.attempts_of(run_id)
    succeeded = [attempt for attempt in attempts if attempt.status is AttemptStatus.SUCCEEDED]
    if run.status is not RunStatus.COMPLETED or not succeeded:
        raise NotFoundError(
            f"run {run_id} ({run.pipeline} of {run.scope}) is {run.status}: only results have a provenance",
            hint=f"`neuroflow runs show {run_id}` tells how it stands",
        )
    attempt = succeeded[-1]
    folders, tokens = services.folders(attempt.where), {one.token for one in attempts}
    target = str(dataset_of(services, run, where=attempt.where) / provenance_file(run))
    for path in (target, f"{attempt.folder}/{PROVENANCE_NAME}"):
        written = _json(folders, path)
        # One of no attempt of this run is of a database that gave the run's number to another one.
        if written.get("schema") == SCHEMA and (written.get("attempt") or {}).get("token") in tokens:
            return RunProvenance(_completed(written, attempts), path, target)
    document, problems = _put_together(services, run, attempt)
    return RunProvenance(_completed(document, attempts), "", target, problems)


def write_provenance(services: Services, run_id: int) -> RunProvenance:
    """Write a run's provenance, with what the database knows by now, and name it in its datasets' descriptions.

    Raises:
        NotFoundError: when the run has no results.
        ClusterError, OSError, ValueError: when something can't be written.
    """
    provenance = provenance_of(services, run_id)
    run = services.state.get_run(run_id)
    attempt = services.state.attempts_of(run_id)[-1]
    folders = services.folders(attempt.where)
    about = _json(folders, f"{attempt.folder}/{JOB_NAME}").get("provenance") or {}
    plan = parse_plan(_json(folders, f"{attempt.folder}/{PLAN_NAME}"))
    if about and plan is not None:
        _describe(folders, plan, about)
    data = json.dumps(provenance.document, indent=2, ensure_ascii=False, default=str) + "\n"
    folders.place(provenance.belongs_in, data.encode())
    return RunProvenance(
        provenance.document, provenance.belongs_in, provenance.belongs_in, _without_entry(about, plan, run)
    )


def _without_entry(about: Json, plan: Plan | None, run: RunRecord) -> tuple[str, ...]:
    if about and plan is not None:
        return ()
    return (f"{DESCRIPTION_NAME} was left alone: the attempt's folder of run {run.id} does not say what to add",)


def _describe(folders: Folders, plan: Plan, about: Mapping[str, Any]) -> None:
    for folder in datasets_of(plan):
        dataset = f"{plan.publish_dir}/{folder}" if folder else plan.publish_dir
        known = _json(folders, f"{dataset}/{DESCRIPTION_NAME}")
        folders.describe(dataset, generators_of(_of_tool(known, about), about), extra=fields_for(folder, about))


def _of_tool(known: Json, about: Mapping[str, Any]) -> Json:
    """Leave out of a description what is ours: the first that remains is the tool, in its own words."""
    said = known.get("GeneratedBy")
    ours = {str(entry["Name"]) for entry in about["generators"]}
    others = [one for one in said if isinstance(one, dict) and str(one.get("Name")) not in ours] if said else []
    return {"GeneratedBy": others[-1:]}


def _completed(document: Json, attempts: list[AttemptRecord]) -> Json:
    """Add what became known after the job had ended: each attempt's verdict, and SLURM's accounting."""
    return {**document, "attempts": [attempt_history(attempt) for attempt in attempts]}


def _put_together(services: Services, run: RunRecord, attempt: AttemptRecord) -> tuple[Json, tuple[str, ...]]:
    """Return what can still be said of results whose job wrote nothing: it is of an older release, or it could not."""
    folders = services.folders(attempt.where)
    job = _json(folders, f"{attempt.folder}/{JOB_NAME}")
    about = job.get("provenance") or {}
    inputs = _json(folders, f"{attempt.folder}/{INPUTS_NAME}").get("inputs")
    document: Json = {
        "schema": SCHEMA,
        **(about.get("document") or _from_database(services, run, attempt)),
        "command": {
            "program": mask_command(job["command"]),
            "before": [mask_command(words) for words in job.get("before", ())],
            "environment": about.get("environment", {}),
            "work_folder": job.get("work_dir"),
        }
        if "command" in job
        else None,
        "inputs": inputs,
        "outputs": {"dataset": job.get("publish_dir") or str(run.output_path)},
        "job": {"id": attempt.job_id, "host": attempt.host, "attempt_folder": attempt.folder},
        "started_at": _iso(attempt.started_at),
        "published_at": _iso(attempt.ended_at),
        "put_together_by": f"neuroflow {__version__}",
    }
    missing = {"its command": document["command"], "its inputs": inputs}
    return document, tuple(f"{name} can't be told any more" for name, value in missing.items() if value is None)


def _from_database(services: Services, run: RunRecord, attempt: AttemptRecord) -> Json:
    image_id = attempt.image_record_id
    image = services.state.get_images([image_id]).get(image_id) if image_id is not None else None
    container = container_of(services.folders(attempt.where), attempt)
    return {
        "run": {"id": run.id, "pipeline": run.pipeline, "scope": run.scope, "inputs_key": run.inputs_key},
        "attempt": {"number": attempt.number, "token": attempt.token, "where": attempt.where},
        "container": {
            "runtime": container.runtime if container is not None else None,
            "image": attempt.image,
            "version": attempt.image_version or None,
            "image_id": image.identity if image is not None else "",
            "image_digest": image.digest if image is not None else "",
            "image_id_on_node": attempt.node_image,
        },
        "software": {},
    }


def _json(folders: Folders, path: str) -> Json:
    """Return a JSON object of an attempt's or a dataset's; nothing where it can't be read as one."""
    try:
        value = json.loads(b"".join(pieces(folders, path, 0)) or b"null")
    except (OSError, ClusterError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _iso(moment: Any) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")
