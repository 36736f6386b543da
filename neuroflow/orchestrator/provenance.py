"""Say at submission what the database and the configuration know of the results that an attempt is to make."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any
from urllib.parse import quote

from neuroflow import __version__
from neuroflow.adapters.tools import generated_by
from neuroflow.cluster.base import JobRequest
from neuroflow.cluster.description import BIDS_VERSION, OWN_FOLDER
from neuroflow.domain import AttemptRecord, RunRecord
from neuroflow.masking import mask_command, mask_value
from neuroflow.orchestrator.place import Place
from neuroflow.orchestrator.services import Services

PROVENANCE_FOLDER = f"{OWN_FOLDER}/provenance"
# The dataset that a pipeline reads, by the name that its own description links it with.
_SOURCES = {"qsiprep": "raw", "qsirecon": "qsiprep", "qsiparc": "qsirecon"}
# Of an attempt's fields that tell what it used, such as max_rss_mb.
_USAGE_ENDINGS = ("_mb", "_seconds")
_RUN_ID = re.compile(r"(?<=[:,])\d+")

Json = dict[str, Any]


def upstream_ids(run: RunRecord, *, depends_on: Sequence[str]) -> tuple[int, ...]:
    """Return the ids of the runs whose results a run reads; its inputs key names them."""
    return tuple(int(text) for text in _RUN_ID.findall(run.inputs_key)) if depends_on else ()


def provenance_file(run: RunRecord) -> str:
    """Return where a run's provenance lies in its dataset."""
    return f"{PROVENANCE_FOLDER}/{run.scope}/{run.pipeline}_run-{run.id}.json"


def dataset_of(services: Services, run: RunRecord, *, where: str) -> Path:
    """Return the dataset that a run publishes into, by the name that it has where the run works."""
    paths = Place.of(services.config, where=where).paths()
    return paths.bids_root if run.pipeline == "bids_conversion" else paths.derivatives_root / run.pipeline


def describe_attempt(services: Services, run: RunRecord, attempt: AttemptRecord, *, job: JobRequest) -> Json:
    """Return what `job.json` is to say under `provenance`; without secrets, since people publish it.

    Args:
        job: of the attempt, complete but for this.
    """
    pipeline = services.registry.get(run.pipeline)
    own_program = job.settings.program is not None
    return {
        "file": provenance_file(run),
        "tool": generated_by(job.run, own_program=own_program),
        "generators": [{"Name": "neuroflow", "Version": __version__}],
        "description": _description(services, run, where=attempt.where),
        "command": mask_command(job.command),
        "before": [mask_command(words) for words in job.run.before],
        "environment": mask_value("environment", dict(job.run.environment)),
        "document": {
            "run": _run(run),
            "attempt": {"number": attempt.number, "token": attempt.token, "where": attempt.where},
            "earlier_attempts": _earlier(services, attempt),
            "upstream": _upstream(services, run, upstream_ids(run, depends_on=pipeline.depends_on)),
            "container": {
                "runtime": job.run.runtime,
                "image": job.run.image,
                "version": job.run.version,
                "image_id": job.run.image_id,
                "image_digest": job.run.image_digest,
            },
            "resources": asdict(job.resources),
            "configuration": _configuration(services, job),
            "software": {"neuroflow": __version__},
        },
    }


def _run(run: RunRecord) -> Json:
    return {
        "id": run.id,
        "pipeline": run.pipeline,
        "scope": run.scope,
        "subject": run.subject,
        "session": run.session,
        "inputs_key": run.inputs_key,
        "workflow_run_id": run.workflow_run_id,
        "opened_at": run.created_at.isoformat(timespec="seconds"),
    }


def attempt_history(attempt: AttemptRecord) -> Json:
    """Return what a later document says of an attempt."""
    times = {"started_at": attempt.started_at, "ended_at": attempt.ended_at}
    return {
        "number": attempt.number,
        "token": attempt.token,
        "status": attempt.status.value,
        "failure": attempt.failure.value if attempt.failure else None,
        "message": attempt.message,
        "exit_code": attempt.exit_code,
        "where": attempt.where,
        "job_id": attempt.job_id,
        "host": attempt.host,
        "resources": asdict(attempt.resources),
        **{one.name: getattr(attempt, one.name) for one in fields(attempt) if one.name.endswith(_USAGE_ENDINGS)},
        **{name: None if moment is None else moment.isoformat(timespec="seconds") for name, moment in times.items()},
    }


def _earlier(services: Services, attempt: AttemptRecord) -> list[Json]:
    if attempt.number == 1:
        return []
    attempts = services.state.attempts_of(attempt.run_id)
    return [attempt_history(one) for one in attempts if one.number < attempt.number]


def _upstream(services: Services, run: RunRecord, ids: Sequence[int]) -> list[Json]:
    found = services.state.get_runs(list(ids)) if ids else {}
    return [
        {
            "run_id": source.id,
            "pipeline": source.pipeline,
            "scope": source.scope,
            "provenance": str(dataset_of(services, source, where=_where(services, source)) / provenance_file(source)),
        }
        for source in (found[run_id] for run_id in ids if run_id in found)
    ]


def _where(services: Services, run: RunRecord) -> str:
    return services.where(services.registry.get(run.pipeline))


def _configuration(services: Services, job: JobRequest) -> Json:
    """Return the settings that made the command what it is."""
    config = services.config
    settings: Mapping[str, Any] = job.settings.model_dump(mode="json")
    containers: Mapping[str, Any] = config.containers.model_dump(mode="json")
    return {
        "digest": config.digest,
        "pipeline": mask_value("pipeline", settings),
        "containers": mask_value("containers", containers),
    }


def _description(services: Services, run: RunRecord, *, where: str) -> Json:
    """Return the fields of `dataset_description.json` for a dataset whose tool does not write them."""
    dataset = dataset_of(services, run, where=where)
    common: Json = {"Name": dataset.name, "BIDSVersion": BIDS_VERSION}
    link = _SOURCES.get(run.pipeline)
    if link is None:
        return {**common, "DatasetType": "raw" if run.pipeline == "bids_conversion" else "derivative"}
    paths = Place.of(services.config, where=where).paths()
    source = paths.bids_root if link == "raw" else paths.derivatives_root / link
    return {
        **common,
        "DatasetType": "derivative",
        "SourceDatasets": [{"URL": f"file://{quote(str(source))}"}],
        "DatasetLinks": {link: os.path.relpath(source, dataset)},
    }
