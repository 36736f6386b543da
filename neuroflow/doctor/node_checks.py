"""What only a job on a compute node can tell: whether it sees what the login node sees, and what it was given."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import neuroflow
from neuroflow.config.disk import is_folder
from neuroflow.doctor.check import Check, Context, Finding, error, skipped, warning, well
from neuroflow.doctor.files import conversion_is_on
from neuroflow.doctor.folders import try_writing
from neuroflow.doctor.host import memory_limit

TOPIC = "node"
SAME_FOLDERS = "node-folders"
TOLD_NAME = "told.json"

OTHER_FOLDER = error(
    "node-other-folder",
    "a compute node sees another folder than the login node, or none",
    why="jobs would not find their inputs, or publish results where nobody looks for them",
    mend="set paths.{key} to a folder that login node and compute nodes share under one path (`srun ls -d {folder}`); "
    "behind SSH, correct its name in cluster.ssh.paths",
)
OTHER_VERSION = error(
    "node-other-version",
    "jobs run with another neuroflow than this one",
    why="jobs leave records that this release may not understand",
    mend="install the same release for {python}: {python} -m pip install neuroflow=={version}",
)
NO_SCRATCH = warning(
    "node-no-scratch",
    "cluster.scratch leads nowhere on a compute node",
    why="temporary files go to the working directory, on the shared file system, and make jobs slow",
    mend="correct cluster.scratch: `srun bash -c 'echo \"{expression}\"'` shows what it becomes",
)
# Of the job itself, which the login node tells.
REFUSED = error(
    "node-refused",
    "SLURM refused the job of `doctor --node`",
    why="it goes the way of every job: those of the pipelines would be refused as well",
    mend="correct account, partition and qos under `cluster`, or name another one: `neuroflow doctor --node "
    "--partition NAME`",
)
NOT_STARTED = error(
    "node-not-started",
    "the job of `doctor --node` did not start in time",
    why="nothing is known of the compute nodes; jobs of the pipelines may wait as long",
    mend="wait longer (`--node-timeout SECONDS`), or take a partition with free nodes: `--partition NAME` (`sinfo`)",
)
FAILED = error(
    "node-job-failed",
    "the job of `doctor --node` ended without findings",
    why="it goes the way of every job: those of the pipelines would fail as well",
    mend="see {log}; mostly paths.state_dir is not seen by the node, or cluster.python or a line of "
    "cluster.setup_lines does not work there",
)
IMPOSSIBLE = error(
    "node-not-asked",
    "the job of `doctor --node` could not be prepared",
    why="nothing is known of the compute nodes",
    mend="mend what `neuroflow doctor` says of the folders, and of SSH, first",
)
SETUP_SAID = warning(
    "node-setup-said",
    "the set-up lines of a job wrote to stderr",
    why="a job goes on after a line that has failed: a module that was not loaded is missed by the tool, much later",
    mend="correct the line in cluster.setup_lines (or the partition's, or the pipeline's); what is harmless, "
    "send to /dev/null there",
)
JOB_KINDS = (REFUSED, NOT_STARTED, FAILED, IMPOSSIBLE, SETUP_SAID)


@dataclass
class Told:
    """What the login node told the job."""

    version: str
    sent_at: float
    folders: dict[str, str]  # by key, named as the node knows them
    nonce: str
    extra: dict[str, Any] = field(default_factory=dict)


def told_file(told: Told) -> bytes:
    """Return it as a file of the job's folder."""
    return json.dumps(vars(told)).encode()


def read_told(place: Path) -> Told:
    """Read it on the node."""
    return Told(**json.loads((place / TOLD_NAME).read_text(encoding="utf-8")))


def nonce_file(folder: str, nonce: str, *, by: str) -> Path:
    """Return the file by which one side shows the other that it sees the same folder."""
    return Path(folder) / f".neuroflow-doctor-{nonce}-{by}"


def _told(context: Context) -> Told:
    return read_told(Path(context.environ["NEUROFLOW_DOCTOR_FOLDER"]))


def _same_folders(context: Context) -> Iterator[Finding]:
    told = _told(context)
    found = []
    for key, folder in told.folders.items():
        try:
            text = nonce_file(folder, told.nonce, by="login").read_text(encoding="utf-8")
            if text != told.nonce:
                raise OSError(0, "it holds something else")
            nonce_file(folder, told.nonce, by="node").write_text(told.nonce, encoding="utf-8")
        except OSError as problem:
            words = f"paths.{key} ({folder}): the login node's file is not there, or can't be answered"
            found.append(OTHER_FOLDER.seen(f"{words}: {problem.strerror}", key=key, folder=folder))
    yield from found or [well("it sees what the login node wrote, in all folders")]


def _dicom(context: Context) -> Iterator[Finding]:
    root = context.config.paths.dicom_root
    yield (
        well(f"{root} is there")
        if is_folder(root)
        else OTHER_FOLDER.seen(f"paths.dicom_root ({root}) is not there", key="dicom_root", folder=root)
    )


def _version(context: Context) -> Iterator[Finding]:
    told = _told(context)
    if neuroflow.__version__ != told.version:
        words = f"{sys.executable} has neuroflow {neuroflow.__version__}, the login node {told.version}"
        yield OTHER_VERSION.seen(words, python=sys.executable, version=told.version)
        return
    yield well(f"{sys.executable} has neuroflow {neuroflow.__version__}, as the login node has")


def _scratch(context: Context) -> Iterator[Finding]:
    expression = context.config.cluster.scratch
    if expression is None:
        yield skipped("cluster.scratch is not set")
        return
    folder = context.environ.get("NEUROFLOW_SCRATCH", "").strip()
    problem = _scratch_problem(folder)
    if problem:
        yield NO_SCRATCH.seen(f"{expression} becomes '{folder}': {problem}", expression=expression)
        return
    disk = os.statvfs(folder)
    yield well(f"{expression} becomes {folder}, with {disk.f_bavail * disk.f_frsize / 1e9:.1f} GB free")


def _scratch_problem(folder: str) -> str:
    """Make the folder as a job does, and write to it; return what went wrong, or nothing."""
    if not folder:
        return "it is empty"
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        return f"can't make it: {failure.strerror}"
    return try_writing(Path(folder))


def _given(context: Context) -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0))
    limit = memory_limit(context.root)
    memory = "no memory limit by control group" if limit is None else f"{limit / 1e6:.0f} MB of memory"
    job = context.environ.get("SLURM_JOB_ID", "none")
    place = context.environ.get("SLURM_JOB_PARTITION", "?")
    yield well(f"job {job} in partition {place}: {cores} cores, {memory}")


CHECKS = (
    Check(SAME_FOLDERS, TOPIC, "a node sees the same folders", _same_folders, (OTHER_FOLDER,), needs=()),
    Check(
        "node-dicom",
        TOPIC,
        "a node sees the DICOM folders",
        _dicom,
        (OTHER_FOLDER,),
        applies=conversion_is_on,
    ),
    Check("node-version", TOPIC, "jobs run with this release", _version, (OTHER_VERSION,), needs=()),
    Check("node-scratch", TOPIC, "cluster.scratch", _scratch, (NO_SCRATCH,)),
    Check("node-job", TOPIC, "what a job is given", _given, (), needs=()),
)
