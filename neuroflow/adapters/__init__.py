"""One adapter per pipeline: a run in, a ContainerRun out."""

from __future__ import annotations

from neuroflow.adapters import bids_conversion, qsiparc, qsiprep, qsirecon
from neuroflow.adapters.base import Adapter, RunRequest
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


__all__ = ["Adapter", "RunRequest", "get_adapter"]
