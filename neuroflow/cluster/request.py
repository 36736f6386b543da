"""What is asked of a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from neuroflow.config.execution import PipelineSettings
from neuroflow.domain import ContainerRun, Resources


@dataclass(frozen=True)
class JobRequest:
    """One attempt, ready to be submitted.

    The literal text `@SCRATCH@` inside an argument of `command` or of `run.before` stands for the job's scratch
    folder, which only its node knows.
    """

    token: str
    folder: str  # the attempt's own; its last part is the token
    pipeline: str
    scope: str
    resources: Resources
    exclude_nodes: tuple[str, ...]
    command: tuple[str, ...]  # the final argument list, container runtime included
    run: ContainerRun
    settings: PipelineSettings
    journal: Mapping[str, object] = field(default_factory=dict)  # what the database knows of the attempt
    nice: int = 0  # by how much SLURM is to put it behind others
    provenance: Mapping[str, object] = field(default_factory=dict)  # what its results shall say of where they come from


@dataclass(frozen=True)
class ArrayRequest:
    """Attempts of one pipeline with one request, ready to be submitted in one call; element i is jobs[i]."""

    token: str  # the name of the array's job, as an attempt's token is of a single one
    folder: str  # the array's own: script and list of elements; each element works in its attempt's folder
    jobs: tuple[JobRequest, ...]
    at_once: int | None = None  # elements that may run at one time; None: no limit
