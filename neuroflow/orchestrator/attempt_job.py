"""The job of a run's next attempt: its container command, its request, its place and its folders."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from neuroflow.adapters import build_run
from neuroflow.adapters.base import RunRequest
from neuroflow.adapters.runtimes import command_line
from neuroflow.adapters.runtimes.voxelops import check_available
from neuroflow.adapters.versions import tool_version
from neuroflow.adapters.voxelops import VOXELOPS
from neuroflow.cluster.base import JobRequest
from neuroflow.cluster.quarantine import OUTPUT_PREFIX
from neuroflow.config.partitions import containers_in
from neuroflow.domain import Level, Resources, RunRecord
from neuroflow.domain.priority import nice_of
from neuroflow.orchestrator.nodes import excluded_nodes
from neuroflow.orchestrator.place import Place
from neuroflow.orchestrator.placement import Places, clipped
from neuroflow.orchestrator.provenance import upstream_ids
from neuroflow.orchestrator.registry import Pipeline
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.site import places


@dataclass(frozen=True)
class Covered:
    """What a run covers: its sessions' labels, and the DICOM folder of the one of a conversion."""

    sessions: tuple[str, ...]
    source_path: str | None


@dataclass(frozen=True)
class JobBuilder:
    """Builds jobs without writing anything; what is known of the site is read once."""

    services: Services
    known_places: Places | None = None

    @cached_property
    def places(self) -> Places:
        """Return where jobs can go."""
        return self.known_places or places(self.services)

    def build(self, run: RunRecord, *, token: str, covered: Covered | None = None) -> JobRequest:
        """Build the job of a run's next attempt, without writing anything.

        Args:
            run: one that need not exist where `covered` is given.
            token: the attempt's.
            covered: what the run covers; read from the database where it is left out.

        Raises:
            AdapterError: when the configuration or the inputs don't allow it.
            PlacementError: when no partition takes it.
        """
        pipeline = self.services.registry.get(run.pipeline)
        request = self._request(run, pipeline, token, covered or self._covered(run))
        if pipeline.where == VOXELOPS:
            check_available(request.containers.voxelops_python, needs_docker=pipeline.name != "qsiparc")
        container = build_run(request)
        return JobRequest(
            token=token,
            folder=str(request.attempt_folder),
            pipeline=pipeline.name,
            scope=run.scope,
            resources=request.resources,
            exclude_nodes=self._excluded(run, pipeline, request.resources),
            command=command_line(container, scratch="@SCRATCH@"),
            run=container,
            settings=pipeline.settings,
            nice=nice_of(run.priority),
        )

    def _excluded(self, run: RunRecord, pipeline: Pipeline, resources: Resources) -> tuple[str, ...]:
        where = self.services.where(pipeline)
        nodes = self.places.nodes(pipeline, resources) if where == "slurm" else None
        return excluded_nodes(self.services, run.id, where=where, nodes=nodes)

    def _resources(self, run: RunRecord, pipeline: Pipeline) -> Resources:
        asked = run.resources or pipeline.resources
        if self.services.where(pipeline) != "slurm":
            return clipped(asked, self.services.config.cluster.limits)
        return self.places.placed(pipeline, asked)

    def _covered(self, run: RunRecord) -> Covered:
        session = self.services.state.get_session(run.session_id) if run.session_id is not None else None
        return Covered(self._sessions(run), session.path if session else None)

    def _request(self, run: RunRecord, pipeline: Pipeline, token: str, covered: Covered) -> RunRequest:
        config = self.services.config
        place = Place.of(config, where=self.services.where(pipeline))
        settings = pipeline.settings
        slug = run.scope.replace("/", "_")
        run_folder = Path(place.name(config.paths.work_root)) / pipeline.name / slug / f"run-{run.id}"
        resources = self._resources(run, pipeline)
        return RunRequest(
            run_id=run.id,
            token=token,
            pipeline=pipeline.name,
            subject=run.subject,
            session=run.session,
            sessions=covered.sessions,
            source_path=place.name(covered.source_path) if covered.source_path else None,
            resources=resources,
            settings=settings,
            image=settings.image,
            version=tool_version(pipeline.name, image=settings.image, version=settings.version),
            runtime=VOXELOPS if pipeline.where == VOXELOPS else settings.runtime or config.containers.runtime,
            paths=place.paths(),
            containers=containers_in(config.containers, config.cluster, partition=resources.partition),
            work_dir=str(run_folder / "work"),
            output_dir=str(run_folder / f"{OUTPUT_PREFIX}{token}"),
            attempt_folder=place.attempt_folder(token),
            python=place.python,
            is_remote=place.is_remote,
            ignore=config.discovery.ignore,
        )

    def _sessions(self, run: RunRecord) -> tuple[str, ...]:
        """Return the labels of the sessions that a run covers: those whose runs its inputs key names."""
        if run.level is Level.SESSION:
            return (run.session,) if run.session else ()
        ids = upstream_ids(run, depends_on=self.services.registry.get(run.pipeline).depends_on)
        sources = [self.services.state.get_run(run_id) for run_id in ids]
        return tuple(sorted(source.session for source in sources if source.session is not None))


def new_token(run: RunRecord) -> str:
    """Return a new attempt's unique name; it is a job name and a folder name."""
    return f"nf-{run.pipeline}-{run.id}-{secrets.token_hex(6)}"
