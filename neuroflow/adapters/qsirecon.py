"""QSIRecon: the reconstruction of one session."""

from __future__ import annotations

import glob
import re
from pathlib import Path

from neuroflow.adapters.base import (
    OUT_TARGET,
    WORK_TARGET,
    Adapter,
    Plan,
    RunRequest,
    add_templateflow,
    check_labels,
    container_run,
    input_file,
    mounts_for,
    outputs_of,
    session_of,
    settings_of,
)
from neuroflow.adapters.mounts import Mounts
from neuroflow.adapters.qsiprep import resource_options
from neuroflow.adapters.versions import QSIReconOptions, qsirecon_options
from neuroflow.config.execution import QSIReconSettings
from neuroflow.config.fields import SPEC_FILE
from neuroflow.domain import ContainerRun, InputRule, OutputRule
from neuroflow.errors import AdapterError

INPUT_TARGET = "/qsiprep"
LICENSE_TARGET = "/input/license.txt"
SPEC_TARGET = "/input/recon_spec"  # and the file's own ending: by it QSIRecon tells YAML from JSON

_DATASET_NAME = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_BAD_INPUT = (r"One or more participant labels were not found in the BIDS directory",)


def default_outputs(request: RunRequest) -> tuple[OutputRule, ...]:
    """Name one derivative, and every atlas: QSIRecon's exit code is 0 when it found no DWI at all."""
    settings = settings_of(request, QSIReconSettings)
    folder = f"sub-{request.subject}/ses-{session_of(request)}/dwi"
    atlases = tuple(OutputRule(f"{folder}/*_seg-{glob.escape(name)}_*dseg.nii.gz") for name in settings.atlases)
    return (OutputRule(f"derivatives/qsirecon-*/{folder}/*"), *atlases)


def build(request: RunRequest) -> ContainerRun:
    """Describe the reconstruction of one session."""
    settings = settings_of(request, QSIReconSettings)
    session = session_of(request)
    check_labels(request)
    options = qsirecon_options(request.version)
    mounts = mounts_for(request)
    subject = request.subject
    return container_run(
        request,
        Plan(
            tool="qsirecon",
            arguments=_arguments(request, settings, options, mounts),
            mounts=mounts,
            outputs=outputs_of(request, default_outputs(request)),
            publish_dir=request.derivatives / "qsirecon",
            owned=(
                f"**/sub-{subject}/ses-{session}",
                f"**/sub-{subject}_ses-{session}.html",
                f"**/sub-{subject}_ses-{session}_*.html",
            ),
            environment=_environment(request, options, mounts),
            crash_globs=("**/log/**/crash-*", "**/logs/crash-*"),
            bad_input_patterns=_BAD_INPUT,
            inputs=_inputs(request, settings),
        ),
    )


def _inputs(request: RunRequest, settings: QSIReconSettings) -> tuple[InputRule, ...]:
    subject = f"sub-{request.subject}"
    qsiprep = InputRule(
        str(request.derivatives / "qsiprep"), (f"{subject}/anat", f"{subject}/ses-{session_of(request)}")
    )
    spec = settings.recon_spec
    return (qsiprep, *((input_file(Path(spec).expanduser()),) if SPEC_FILE.is_file(spec) else ()))


def _arguments(
    request: RunRequest, settings: QSIReconSettings, options: QSIReconOptions, mounts: Mounts
) -> tuple[str, ...]:
    return (
        mounts.add(INPUT_TARGET, request.derivatives / "qsiprep"),
        mounts.seen(OUT_TARGET, request.output_dir),
        "participant",
        "--participant-label",
        request.subject,
        options.session,
        session_of(request),
        "--recon-spec",
        _recon_spec(settings, mounts),
        *(("--atlases", *settings.atlases) if settings.atlases else ()),
        *_datasets(settings, mounts),
        *_license(request, mounts),
        *resource_options(request),
        "-w",
        mounts.seen(WORK_TARGET, request.work_dir),
        "--notrack",
        "--stop-on-first-crash",
    )


def _recon_spec(settings: QSIReconSettings, mounts: Mounts) -> str:
    spec = settings.recon_spec
    if not SPEC_FILE.is_file(spec):
        return spec
    path = Path(spec).expanduser()
    if not path.is_absolute():
        raise AdapterError(
            f"pipelines.qsirecon.recon_spec: '{spec}' is a relative path",
            hint="give the file's absolute path, or the name of a built-in workflow without an ending",
        )
    return mounts.add(SPEC_TARGET + path.suffix, path)


def _datasets(settings: QSIReconSettings, mounts: Mounts) -> tuple[str, ...]:
    for name in settings.datasets:
        if not _DATASET_NAME.fullmatch(name):
            raise AdapterError(
                f"pipelines.qsirecon.datasets: {name!r} can't be a dataset's name: letters, digits, '-' and '_' only"
            )
    pairs = [f"{name}={mounts.add(f'/datasets/{name}', folder)}" for name, folder in settings.datasets.items()]
    return ("--datasets", *pairs) if pairs else ()


def _license(request: RunRequest, mounts: Mounts) -> tuple[str, ...]:
    if request.paths.freesurfer_license is not None:
        return ("--fs-license-file", mounts.add(LICENSE_TARGET, request.paths.freesurfer_license))
    settings = request.settings
    elsewhere = {**request.containers.environment, **settings.environment}.keys() & {"FS_LICENSE", "FREESURFER_HOME"}
    # A program of the site's own may do without.
    if elsewhere or "--fs-license-file" in settings.args or settings.program is not None:
        return ()
    raise AdapterError(
        "QSIRecon does not start without a FreeSurfer licence file, and paths.freesurfer_license is not set",
        hint="register at https://surfer.nmr.mgh.harvard.edu/registration.html, and set paths.freesurfer_license",
    )


def _environment(request: RunRequest, options: QSIReconOptions, mounts: Mounts) -> dict[str, str]:
    variables = add_templateflow(request, mounts)
    if request.runtime != "host":
        # The image keeps its templates and AMICO's tables in its own home, which is not our HOME.
        variables.setdefault("TEMPLATEFLOW_HOME", f"{options.image_home}/.cache/templateflow")
        variables["DIPY_HOME"] = f"{options.image_home}/.dipy"
    if request.paths.freesurfer_license is not None:
        in_container = request.runtime != "host"
        variables["FS_LICENSE"] = LICENSE_TARGET if in_container else str(request.paths.freesurfer_license)
    return variables


ADAPTER = Adapter("qsirecon", build=build, default_outputs=default_outputs)
