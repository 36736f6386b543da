"""What the disk says of a configuration: folders and files that it names and that are not there."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from neuroflow.config.disk import exists, is_file, is_folder
from neuroflow.config.execution import Cluster, Containers, Pipelines
from neuroflow.config.fields import IMAGE_FILE, SPEC_FILE
from neuroflow.config.paths import Paths
from neuroflow.config.sections import Discovery
from neuroflow.config.shapes import KeyPath
from neuroflow.sharing import group_id, is_member

Finding = tuple[KeyPath, str]
_INTERPRETER = re.compile(r"python[\d.]*|(ba)?sh|perl|Rscript")
_IMAGE_RUNTIMES = ("apptainer", "singularity")


def missing_files(sections: Mapping[str, object]) -> list[Finding]:
    """Return key path and problem of what is not there; sections that could not be read are left out."""
    found: list[Finding] = []
    paths, discovery = sections.get("paths"), sections.get("discovery")
    containers, pipelines, cluster = (sections.get(name) for name in ("containers", "pipelines", "cluster"))
    elsewhere = isinstance(cluster, Cluster) and cluster.is_remote
    if isinstance(paths, Paths):
        found += _paths(paths, elsewhere=elsewhere)
    if isinstance(discovery, Discovery) and discovery.labels == "csv" and discovery.csv_file is not None:
        found += _file(("discovery", "csv_file"), discovery.csv_file)
    if isinstance(pipelines, Pipelines):
        here = [name for name in Pipelines.model_fields if _works_here(pipelines, name, elsewhere=elsewhere)]
        found += _tool_files(pipelines, here)
        if isinstance(containers, Containers):
            found += _images(containers, pipelines, here)
            found += _programs(containers, pipelines, here, cluster)
    return found


def _works_here(pipelines: Pipelines, name: str, *, elsewhere: bool) -> bool:
    """Tell whether a pipeline's jobs see this machine's disk: a cluster behind SSH names files as it sees them."""
    settings = getattr(pipelines, name)
    default = "worker" if settings.in_worker_allowed else "cluster"
    return settings.enabled and (not elsewhere or (settings.where or default) == "worker")


def _paths(paths: Paths, *, elsewhere: bool) -> Iterator[Finding]:
    yield from _folder(("paths", "dicom_root"), paths.dicom_root)
    if not elsewhere:
        yield from _input_files(paths)
    if paths.group is not None:
        yield from _group(paths.group)
    for name in ("bids_root", "derivatives_root", "work_root", "state_dir"):
        folder: Path = getattr(paths, name)
        if exists(folder) and not is_folder(folder):
            yield ("paths", name), f"'{folder}' is a file, and must be a folder"


def _input_files(paths: Paths) -> Iterator[Finding]:
    if paths.freesurfer_license is not None:
        yield from _file(("paths", "freesurfer_license"), paths.freesurfer_license)
    if paths.templateflow_home is not None:
        yield from _folder(("paths", "templateflow_home"), paths.templateflow_home)


def _group(name: str) -> Iterator[Finding]:
    gid = group_id(name)
    if gid is None:
        yield ("paths", "group"), f"there is no group '{name}' on this machine; `id` lists yours"
    elif os.geteuid() != 0 and not is_member(os.geteuid(), gid):
        yield ("paths", "group"), f"you are no member of the group '{name}'; `id` lists yours"


def _tool_files(pipelines: Pipelines, here: Collection[str]) -> Iterator[Finding]:
    settings = pipelines.bids_conversion
    if "bids_conversion" in here and settings.heuristic is not None:
        yield from _file(("pipelines", "bids_conversion", "heuristic"), settings.heuristic)
    if "qsiprep" in here and pipelines.qsiprep.bids_filter_file is not None:
        yield from _file(("pipelines", "qsiprep", "bids_filter_file"), pipelines.qsiprep.bids_filter_file)
    recon = pipelines.qsirecon
    if "qsirecon" in here and SPEC_FILE.is_file(recon.recon_spec):
        yield from _file(("pipelines", "qsirecon", "recon_spec"), Path(recon.recon_spec))
    for name, folder in recon.datasets.items() if "qsirecon" in here else ():
        yield from _folder(("pipelines", "qsirecon", "datasets", name), folder)


def _images(containers: Containers, pipelines: Pipelines, here: Collection[str]) -> Iterator[Finding]:
    for name in here:
        settings = getattr(pipelines, name)
        runtime = settings.runtime or containers.runtime
        image = settings.image
        if image is None or runtime not in _IMAGE_RUNTIMES or not IMAGE_FILE.is_file(image):
            continue
        # An Apptainer sandbox is a folder.
        if not is_folder(Path(image)):
            yield from _file(("pipelines", name, "image"), Path(image))


def _programs(
    containers: Containers, pipelines: Pipelines, here: Collection[str], cluster: object
) -> Iterator[Finding]:
    for name in here:
        settings = getattr(pipelines, name)
        if not settings.program or (settings.runtime or containers.runtime) != "host":
            continue
        # In a job, these lines may bring it.
        general = cluster.setup_lines if isinstance(cluster, Cluster) and cluster.kind == "slurm" else ()
        if general or settings.setup_lines:
            continue
        for path in _files_of(settings.program):
            yield from _program(("pipelines", name, "program"), path)


def _files_of(program: Sequence[str]) -> Iterator[Path]:
    """Return the program where a path names it, and the script of an interpreter; other words may be anything."""
    if "/" in program[0]:
        yield Path(program[0])
    if _INTERPRETER.fullmatch(program[0].rpartition("/")[2]) and len(program) > 1 and program[1].startswith("/"):
        yield Path(program[1])


def _program(key: KeyPath, path: Path) -> Iterator[Finding]:
    if is_folder(path):
        yield key, f"'{path}' is a folder, and must be a program"
    elif not exists(path):
        yield key, f"the file '{path}' does not exist"


def _file(key: KeyPath, path: Path) -> Iterator[Finding]:
    if is_folder(path):
        yield key, f"'{path}' is a folder, and must be a file"
    elif not exists(path):
        yield key, f"the file '{path}' does not exist"
    elif not is_file(path) or not os.access(path, os.R_OK):
        yield key, f"the file '{path}' can't be read by this user"


def _folder(key: KeyPath, path: Path) -> Iterator[Finding]:
    if not exists(path):
        yield key, f"the folder '{path}' does not exist"
    elif not is_folder(path):
        yield key, f"'{path}' is a file, and must be a folder"
    elif not os.access(path, os.R_OK | os.X_OK):
        yield key, f"the folder '{path}' can't be read by this user"
