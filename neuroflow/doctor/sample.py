"""A job of each pipeline as it would be submitted, for a subject that does not exist."""

from __future__ import annotations

import sys
from pathlib import Path

from neuroflow.adapters import get_adapter
from neuroflow.adapters.base import RunRequest
from neuroflow.adapters.versions import tool_version
from neuroflow.cluster.request import JobRequest
from neuroflow.config import NeuroflowConfig
from neuroflow.domain import ContainerRun, Level, Resources, SiteLimits
from neuroflow.orchestrator.limits import effective_limits
from neuroflow.orchestrator.placement import clipped
from neuroflow.orchestrator.registry import Pipeline, get_registry

SUBJECT, SESSION = "doctor", "doctor"
TOKEN = "nf-doctor"  # noqa: S105  # a name, not a secret


def enabled(config: NeuroflowConfig) -> list[Pipeline]:
    """Return the pipelines that are switched on."""
    return [pipeline for pipeline in get_registry(config) if pipeline.enabled]


def on_cluster(config: NeuroflowConfig) -> list[Pipeline]:
    """Return the pipelines whose jobs go to SLURM."""
    return [pipeline for pipeline in enabled(config) if pipeline.where == "cluster"]


def container_of(config: NeuroflowConfig, pipeline: Pipeline, *, folder: Path | None = None) -> ContainerRun:
    """Build a pipeline's command as for a run.

    Args:
        config: the configuration.
        pipeline: the pipeline.
        folder: where the work and output folders lie; None: below paths.work_root.

    Raises:
        AdapterError: when the configuration does not allow one.
    """
    where = folder or config.paths.work_root / pipeline.name / TOKEN
    settings = pipeline.settings
    session = None if pipeline.level is Level.SUBJECT else SESSION
    on_nodes = config.cluster.python if config.cluster.kind == "slurm" and pipeline.where == "cluster" else None
    request = RunRequest(
        run_id=0,
        token=TOKEN,
        pipeline=pipeline.name,
        subject=SUBJECT,
        session=session,
        sessions=(SESSION,),
        source_path=str(config.paths.dicom_root),
        resources=pipeline.resources,
        settings=settings,
        image=settings.image,
        version=tool_version(pipeline.name, image=settings.image, version=settings.version),
        runtime=settings.runtime or config.containers.runtime,
        paths=config.paths,
        containers=config.containers,
        work_dir=str(where / "work"),
        output_dir=str(where / "out"),
        attempt_folder=str(config.attempts_dir / TOKEN),
        python=on_nodes or sys.executable,
        ignore=config.discovery.ignore,
    )
    return get_adapter(pipeline.name).build(request)


def request_of(config: NeuroflowConfig, pipeline: Pipeline, site: SiteLimits) -> Resources:
    """Return what a pipeline's first attempt would ask for: no more than the site takes."""
    own = pipeline.settings
    partition, qos = own.partition or config.cluster.partition, own.qos or config.cluster.qos
    return clipped(pipeline.resources, effective_limits(config.cluster.limits, site, partition=partition, qos=qos))


def job_of(config: NeuroflowConfig, pipeline: Pipeline, site: SiteLimits) -> JobRequest:
    """Return a pipeline's job; its command is left out, which the script does not hold."""
    nothing = ContainerRun(
        pipeline=pipeline.name,
        runtime="host",
        image=None,
        version=None,
        program=("true",),
        arguments=(),
        binds=(),
        environment={},
        output_dir="",
        work_dir="",
        publish_dir="",
        owned=(),
        outputs=(),
    )
    return JobRequest(
        token=TOKEN,
        folder=str(config.attempts_dir / TOKEN),
        pipeline=pipeline.name,
        scope=f"sub-{SUBJECT}",
        resources=request_of(config, pipeline, site),
        exclude_nodes=(),
        command=("true",),
        run=nothing,
        settings=pipeline.settings,
    )
