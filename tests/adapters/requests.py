"""Requests for the adapters' tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from neuroflow.adapters import RunRequest
from neuroflow.config.execution import (
    BidsConversionSettings,
    Containers,
    PipelineSettings,
    QSIParcSettings,
    QSIPrepSettings,
    QSIReconSettings,
)
from neuroflow.config.paths import Paths
from neuroflow.config.sections import Discovery
from neuroflow.domain import Resources

SETTINGS: dict[str, type[PipelineSettings]] = {
    "bids_conversion": BidsConversionSettings,
    "qsiprep": QSIPrepSettings,
    "qsirecon": QSIReconSettings,
    "qsiparc": QSIParcSettings,
}
VERSIONS = {"bids_conversion": "1.5.1", "qsiprep": "26.1.1", "qsirecon": "26.0.0", "qsiparc": "0.1.2"}


def make_request(
    pipeline: str,
    *,
    root: str | Path = "/data",
    runtime: str = "apptainer",
    containers: dict[str, Any] | None = None,
    paths: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    **changes: Any,
) -> RunRequest:
    """Build the request of an ordinary run of a pipeline, all of its folders below `root`."""
    by_subject = pipeline == "qsiprep"
    token = f"nf-{pipeline}-7-0123456789ab"
    where = {
        "dicom_root": f"{root}/dicom",
        "bids_root": f"{root}/bids",
        "derivatives_root": f"{root}/derivatives",
        "work_root": f"{root}/work",
        "state_dir": f"{root}/state",
        "freesurfer_license": f"{root}/license.txt",
        "templateflow_home": f"{root}/templateflow",
        **(paths or {}),
    }
    request = RunRequest(
        run_id=7,
        token=token,
        pipeline=pipeline,
        subject="0042",
        session=None if by_subject else "01",
        sessions=("01", "02") if by_subject else ("01",),
        source_path=None if by_subject else f"{root}/dicom/0042/01",
        resources=Resources(cpus=8, memory_mb=32_000, time_minutes=600),
        settings=SETTINGS[pipeline](**(settings or {})),
        image=f"/images/{pipeline}-{VERSIONS[pipeline]}.sif",
        version=VERSIONS[pipeline],
        runtime=runtime,
        paths=Paths(**where),
        containers=Containers(**(containers or {})),
        work_dir=f"{root}/work/{pipeline}/sub-0042/run-7/work",
        output_dir=f"{root}/work/{pipeline}/sub-0042/run-7/out-{token}",
        attempt_folder=f"{root}/state/attempts/{token}",
        python="/opt/nodes/bin/python",
        ignore=Discovery().ignore,
    )
    return replace(request, **changes)


def after(arguments: tuple[str, ...], option: str) -> str:
    """Return the value that follows an option."""
    return arguments[arguments.index(option) + 1]
