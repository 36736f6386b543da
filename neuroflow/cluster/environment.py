"""The environment that a tool, and the commands before it, get on the node; standard library only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_CODE_ROOT = str(Path(__file__).resolve().parents[2])
_OURS = ("SUBMITIT_", "NEUROFLOW_")
# A node's own binds and variables would change what a container sees, and from node to node.
_RUNTIMES = ("APPTAINER_", "APPTAINERENV_", "SINGULARITY_", "SINGULARITYENV_")
_GPUS = "CUDA_VISIBLE_DEVICES"
_WHERE_FILES_GO = frozenset(
    f"{runtime}_{what}"
    for runtime in ("APPTAINER", "SINGULARITY")
    for what in ("TMPDIR", "CACHEDIR", "LOCALCACHEDIR", "CONFIGDIR")
)


def node_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return a node's variables without ours, and without those that change what a container sees.

    But for the GPUs that SLURM gave to the job: where it names them only, and doesn't close the others, a tool in a
    container has to be told, too.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if name in _WHERE_FILES_GO or not name.startswith((*_OURS, *_RUNTIMES))
    }
    gpus = environ.get(_GPUS)
    return kept if gpus is None else kept | {f"{runtime}ENV_{_GPUS}": gpus for runtime in ("APPTAINER", "SINGULARITY")}


def without_our_code(environment: Mapping[str, str]) -> dict[str, str]:
    """Drop our own entry of PYTHONPATH: a tool on the host has a Python, and packages, of its own."""
    others = {name: value for name, value in environment.items() if name != "PYTHONPATH"}
    kept = [entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry not in ("", _CODE_ROOT)]
    return {**others, "PYTHONPATH": os.pathsep.join(kept)} if kept else others
