"""One adapter per pipeline: a run in, a ContainerRun out."""

from __future__ import annotations

from neuroflow.adapters import bids_conversion, qsiparc, qsiprep, qsirecon, voxelops
from neuroflow.adapters.base import Adapter, RunRequest
from neuroflow.domain import ContainerRun
from neuroflow.errors import AdapterError

_ADAPTERS = {
    adapter.name: adapter for adapter in (bids_conversion.ADAPTER, qsiprep.ADAPTER, qsirecon.ADAPTER, qsiparc.ADAPTER)
}


def get_adapter(name: str) -> Adapter:
    """Return the adapter of a pipeline.

    Raises:
        AdapterError: when no adapter has that name.
    """
    if name not in _ADAPTERS:
        raise AdapterError(f"there is no adapter for the pipeline '{name}'; there are: {', '.join(_ADAPTERS)}")
    return _ADAPTERS[name]


def build_run(request: RunRequest) -> ContainerRun:
    """Describe one attempt, as its pipeline's adapter does, or by way of VoxelOps.

    Raises:
        AdapterError: when the configuration or the inputs don't allow it.
    """
    adapter = get_adapter(request.pipeline)
    return voxelops.build(request, adapter) if request.runtime == voxelops.VOXELOPS else adapter.build(request)


__all__ = ["Adapter", "RunRequest", "build_run", "get_adapter"]
