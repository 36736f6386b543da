"""VoxelOps: the same pipelines by way of VoxelOps' runners and Docker, on this machine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from neuroflow.adapters.base import Adapter, RunRequest, session_of, settings_of
from neuroflow.adapters.heuristics import SHIPPED_HEURISTIC
from neuroflow.adapters.runtimes.voxelops import CALLER
from neuroflow.adapters.versions import qsiprep_options
from neuroflow.config.execution import (
    BidsConversionSettings,
    QSIParcSettings,
    QSIPrepSettings,
    QSIReconSettings,
)
from neuroflow.domain import ContainerRun, OutputRule
from neuroflow.errors import AdapterError

VOXELOPS = "voxelops"
RECORD_NAME = "voxelops.json"
_HINT = "see docs/voxelops.md"

Json = dict[str, object]


def build(request: RunRequest, adapter: Adapter) -> ContainerRun:
    """Describe one attempt that VoxelOps carries out: the adapter's outputs and publication, another program.

    Raises:
        AdapterError: when the configuration asks for what VoxelOps has no word for.
    """
    _check(request)
    plain = adapter.build(replace(request, runtime="host"))
    call = _CALLS[request.pipeline](request) | {
        "record": str(Path(request.attempt_folder) / RECORD_NAME),
        "output_dir": request.output_dir,
        "keep": f"{request.work_dir}/heudiconv-{request.token}",
    }
    _check_paths(call)
    python = request.containers.voxelops_python or request.python
    return replace(
        plain,
        runtime=VOXELOPS,
        image=request.image,
        # -P: the folder of the program holds modules named `docker` and `base`.
        program=(python, "-P", "-u", str(CALLER)),
        arguments=(json.dumps(call),),
        environment={},
        runtime_args=(),
        outputs=_outputs(request, plain),
    )


def _outputs(request: RunRequest, plain: ContainerRun) -> tuple[OutputRule, ...]:
    if request.pipeline != "qsiparc" or request.settings.outputs is not None:
        return plain.outputs
    # VoxelOps' own parcellation writes one folder for each workflow of QSIRecon.
    return (OutputRule(f"qsirecon-*/sub-{request.subject}/ses-{session_of(request)}/dwi/atlas-*/*_parc.tsv"),)


def _check(request: RunRequest) -> None:
    """Refuse settings that VoxelOps would silently leave out."""
    settings, name = request.settings, f"pipelines.{request.pipeline}"
    given: dict[str, object] = {
        f"{name}.args": settings.args,
        f"{name}.program": settings.program,
        f"{name}.runtime_args": settings.runtime_args,
        f"{name}.environment": settings.environment,
        f"{name}.gpus": request.resources.gpus,
        "containers.runtime_args": request.containers.runtime_args,
        "containers.binds": request.containers.binds,
        "containers.environment": request.containers.environment,
    }
    if isinstance(settings, QSIPrepSettings):
        given[f"{name}.anat_modality"] = settings.anat_modality
    if isinstance(settings, QSIParcSettings):
        given[f"{name}.scalars"] = settings.scalars
    refused = [key for key, value in given.items() if value]
    if refused:
        raise AdapterError(
            f"{', '.join(refused)}: VoxelOps can't pass this on; with `where: voxelops` it must not be set", hint=_HINT
        )
    if request.image is None and request.pipeline != "qsiparc":
        raise AdapterError(
            f"there is no Docker image for {request.pipeline}",
            hint=f"set pipelines.{request.pipeline}.image, such as pennlinc/qsiprep:26.1.1",
        )


def _check_paths(call: Json) -> None:
    for name in ("inputs", "config", "view"):
        values = call.get(name)
        for value in values.values() if isinstance(values, dict) else ():
            if isinstance(value, str) and value.startswith("/") and ":" in value:
                raise AdapterError(f"VoxelOps can't bind a path with a colon: {value!r}", hint=_HINT)


def _view(request: RunRequest, **what: object) -> Json:
    return {"folder": f"{request.work_dir}/voxelops-{request.token}", "subject": request.subject, **what}


def _memory(request: RunRequest) -> int:
    return request.resources.memory_mb * 95 // 100


def _license(request: RunRequest) -> str | None:
    return str(request.paths.freesurfer_license) if request.paths.freesurfer_license is not None else None


def _heudiconv(request: RunRequest) -> Json:
    settings = settings_of(request, BidsConversionSettings)
    view = _view(request, links=f"{request.work_dir}/dicom-{request.token}")
    return {
        "runner": "run_heudiconv",
        "classes": ["HeudiconvInputs", "HeudiconvDefaults"],
        "view": view,
        "inputs": {
            "dicom_dir": view["folder"],
            "participant": request.subject,
            "session": session_of(request),
            "output_dir": request.output_dir,
        },
        "config": {"heuristic": str(settings.heuristic or SHIPPED_HEURISTIC), "docker_image": request.image},
    }


def _qsiprep(request: RunRequest) -> Json:
    settings = settings_of(request, QSIPrepSettings)
    options, reference = qsiprep_options(request.version), settings.subject_anatomical_reference
    view = _view(request, dataset=str(request.paths.bids_root), sessions=request.sessions)
    return {
        "runner": "run_qsiprep",
        "classes": ["QSIPrepInputs", "QSIPrepDefaults"],
        "view": view,
        "inputs": {
            "bids_dir": view["folder"],
            "participant": request.subject,
            "output_dir": request.output_dir,
            "work_dir": request.work_dir,
            "bids_filters": str(settings.bids_filter_file) if settings.bids_filter_file else None,
        },
        "config": {
            "nprocs": request.resources.cpus,
            "mem_mb": _memory(request),
            "output_resolution": settings.output_resolution,
            # QSIPrep's own default is the same, and not each release has the option.
            "anatomical_template": [],
            "subject_anatomical_reference": (
                options.first_session_reference if reference == "first-lex" else reference
            ),
            "skip_bids_validation": True,
            "fs_license": _license(request) if options.license_file else None,
            "docker_image": request.image,
            "force": True,
        },
    }


def _qsirecon(request: RunRequest) -> Json:
    settings = settings_of(request, QSIReconSettings)
    if not settings.recon_spec.endswith((".yaml", ".yml")):
        raise AdapterError(
            f"pipelines.qsirecon.recon_spec: '{settings.recon_spec}' is the name of a built-in workflow, "
            "and VoxelOps takes a YAML file alone",
            hint=f"copy that workflow's YAML out of the image, and name the file; {_HINT}",
        )
    view = _view(request, dataset=str(request.derivatives / "qsiprep"), sessions=[session_of(request)])
    return {
        "runner": "run_qsirecon",
        "classes": ["QSIReconInputs", "QSIReconDefaults"],
        "view": view,
        "inputs": {
            "qsiprep_dir": view["folder"],
            "participant": request.subject,
            "atlases": list(settings.atlases),
            "output_dir": request.output_dir,
            "work_dir": request.work_dir,
            "recon_spec": settings.recon_spec,
            "datasets": {name: str(folder) for name, folder in settings.datasets.items()},
        },
        "config": {
            "nprocs": request.resources.cpus,
            "mem_mb": _memory(request),
            "fs_license": _license(request),
            "docker_image": request.image,
            "force": True,
        },
    }


def _qsiparc(request: RunRequest) -> Json:
    dataset = str(request.derivatives / "qsirecon")
    # Without the view it would mix the atlases of all sessions, and write the tables of each.
    view = _view(request, dataset=dataset, sessions=[session_of(request)])
    return {
        "runner": "run_qsiparc",
        "classes": ["QSIParcInputs", "QSIParcDefaults"],
        "view": view,
        "atlases": {"names": settings_of(request, QSIParcSettings).atlases, "tables": f"{dataset}/atlases"},
        "inputs": {
            "qsirecon_dir": view["folder"],
            "participant": request.subject,
            "session": session_of(request),
            "output_dir": request.output_dir,
            "n_procs": 1,  # one session, and a failure in a pool of processes would only be logged
        },
        # VoxelOps' default mask is one in MNI space; the maps are in the subject's.
        "config": {"mask": None, "force": True},
    }


_CALLS = {"bids_conversion": _heudiconv, "qsiprep": _qsiprep, "qsirecon": _qsirecon, "qsiparc": _qsiparc}
