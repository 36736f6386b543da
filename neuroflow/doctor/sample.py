"""A job of each pipeline as it would be submitted, for a subject that does not exist."""

from __future__ import annotations

from pathlib import Path

from neuroflow.adapters import get_adapter
from neuroflow.adapters.base import RunRequest
from neuroflow.adapters.versions import tool_version
from neuroflow.cluster.request import JobRequest
from neuroflow.config import NeuroflowConfig
from neuroflow.config.partitions import AUTO, containers_in
from neuroflow.doctor.check import Context
from neuroflow.domain import ContainerRun, Level, Resources
from neuroflow.orchestrator.place import Place
from neuroflow.orchestrator.registry import Pipeline, get_registry

SUBJECT, SESSION = "doctor", "doctor"
TOKEN = "nf-doctor"  # noqa: S105  # a name, not a secret


def enabled(config: NeuroflowConfig) -> list[Pipeline]:
    """Return the pipelines that are switched on."""
    return [pipeline for pipeline in get_registry(config) if pipeline.enabled]


def on_cluster(config: NeuroflowConfig) -> list[Pipeline]:
    """Return the pipelines whose jobs go to SLURM."""
    return [pipeline for pipeline in enabled(config) if pipeline.where == "cluster"]


def works_here(context: Context, pipeline: Pipeline) -> bool:
    """Tell whether a pipeline's tool can be tried on the machine that looks, as far as its files go."""
    if context.on_node:
        return pipeline.where == "cluster"
    return pipeline.where == "worker" or not context.config.cluster.is_remote


def container_of(context: Context, pipeline: Pipeline, *, folder: Path | None = None) -> ContainerRun:
    """Build a pipeline's command as for a run.

    Args:
        context: what checks are given.
        pipeline: the pipeline.
        folder: where the work and output folders lie; None: below paths.work_root.

    Raises:
        AdapterError: when the configuration does not allow one.
    """
    config = context.config
    place = Place.of(config, where="worker" if pipeline.where == "worker" else config.cluster.kind)
    where = folder or Path(place.name(config.paths.work_root)) / pipeline.name / TOKEN
    settings = pipeline.settings
    session = None if pipeline.level is Level.SUBJECT else SESSION
    request = RunRequest(
        run_id=0,
        token=TOKEN,
        pipeline=pipeline.name,
        subject=SUBJECT,
        session=session,
        sessions=(SESSION,),
        source_path=place.name(config.paths.dicom_root),
        resources=pipeline.resources,
        settings=settings,
        image=settings.image,
        version=tool_version(pipeline.name, image=settings.image, version=settings.version),
        runtime=settings.runtime or config.containers.runtime,
        paths=place.paths(),
        containers=containers_in(config.containers, config.cluster, partition=_partition(context, pipeline)),
        work_dir=str(where / "work"),
        output_dir=str(where / "out"),
        attempt_folder=place.attempt_folder(TOKEN),
        python=place.python,
        is_remote=place.is_remote,
        ignore=config.discovery.ignore,
    )
    return get_adapter(pipeline.name).build(request)


def _partition(context: Context, pipeline: Pipeline) -> str | None:
    """Return the partition whose container settings hold: on a node the job's own one, else the one that is named."""
    if context.on_node:
        return context.environ.get("SLURM_JOB_PARTITION")
    named = pipeline.settings.partition or context.config.cluster.partition
    return None if named == AUTO else named


def job_of(context: Context, pipeline: Pipeline, request: Resources) -> JobRequest:
    """Return a pipeline's job with a request; its command is not in the script, and left out."""
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
    config = context.config
    return JobRequest(
        token=TOKEN,
        folder=Place.of(config, where=config.cluster.kind).attempt_folder(TOKEN),
        pipeline=pipeline.name,
        scope=f"sub-{SUBJECT}",
        resources=request,
        exclude_nodes=(),
        command=("true",),
        run=nothing,
        settings=pipeline.settings,
    )
