"""What an attempt asks for and executes, and what its adapter answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Resources:
    """A request to the cluster: cores, MiB, minutes, GPUs."""

    cpus: int
    memory_mb: int
    time_minutes: int
    gpus: int = 0
    partition: str = ""  # where the attempt went; empty where SLURM, or no SLURM at all, decided


@dataclass(frozen=True)
class Bind:
    """A host path and where the container sees it."""

    source: str
    target: str
    read_only: bool = True


@dataclass(frozen=True)
class OutputRule:
    """Files that must exist, non-empty, for success: a glob relative to the run's output folder."""

    pattern: str
    min_count: int = 1


@dataclass(frozen=True)
class InputRule:
    """Files that a tool reads: names below a folder, as globs of owned names (see cluster.globs); "" is all of it."""

    root: str
    names: tuple[str, ...]
    hashed: bool = True  # False: counted only, because they are known by a fingerprint


@dataclass(frozen=True)
class ContainerRun:
    """Everything needed to execute one attempt; built by an adapter, pure data."""

    pipeline: str
    runtime: str  # apptainer, singularity, docker, podman, host, voxelops
    image: str | None  # None on the host
    version: str | None  # of the tool inside
    program: tuple[str, ...]  # what runs on the host; in a container the image's entry point does
    arguments: tuple[str, ...]
    binds: tuple[Bind, ...]
    environment: Mapping[str, str]
    output_dir: str  # on the host: this attempt's own, published only after success
    work_dir: str  # on the host: the run's, kept between attempts
    publish_dir: str  # on the host: the dataset that the results move into
    owned: tuple[str, ...]  # names that this run owns there, and replaces whole: see cluster.publish
    outputs: tuple[OutputRule, ...]
    crash_globs: tuple[str, ...] = ()  # relative to output_dir: a tool's own crash files
    bad_input_patterns: tuple[str, ...] = ()  # regular expressions over stderr that mean bad input
    before: tuple[tuple[str, ...], ...] = ()  # host commands of ours that run first, as argument lists
    runtime_args: tuple[str, ...] = ()
    name: str = ""  # unique, the attempt's token: docker and podman containers carry it
    image_id: str = ""  # the SIF's id, or docker's of the image, when it was submitted
    image_digest: str = ""  # sha256:..., where it was known then
    inputs: tuple[InputRule, ...] = ()  # by the names of the host that works


@dataclass(frozen=True)
class AdapterResult:
    """What an adapter answers once its run has ended."""

    success: bool
    exit_code: int | None
    output_path: str | None
    error_message: str | None
    metrics: Mapping[str, float | int | str]
    duration_seconds: float | None
