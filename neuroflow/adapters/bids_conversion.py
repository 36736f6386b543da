"""HeudiConv and dcm2niix: one DICOM session folder into one BIDS session."""

from __future__ import annotations

import re
from pathlib import Path

from neuroflow.adapters.base import (
    OUT_TARGET,
    WORK_TARGET,
    Adapter,
    Plan,
    RunRequest,
    check_labels,
    container_run,
    input_file,
    mounts_for,
    outputs_of,
    own_command,
    session_of,
    settings_of,
)
from neuroflow.adapters.heuristics import SHIPPED_HEURISTIC
from neuroflow.adapters.mounts import Mounts
from neuroflow.config.execution import BidsConversionSettings
from neuroflow.domain import FOLDER_GONE, ContainerRun, InputRule, OutputRule
from neuroflow.errors import AdapterError

DICOM_TARGET = "/dicom"
HEURISTIC_TARGET = "/heuristic/heuristic.py"

# Names that BIDS does not know, and that dcm2niix or HeudiConv give when slices are missing, a series number was
# used twice, or a conversion stopped half way; HeudiConv's exit code is 0 in the first two cases.
INVALID_NAMES = (
    *(f"**/*_{suffix}[0-9a-zA-Z]*.nii.gz" for suffix in ("dwi", "sbref", "T1w", "T2w", "epi")),
    "**/*_Eq_[0-9]*",
    "**/*_heudiconv[0-9]*",
)

_BAD_INPUT = (r"Conflicting study identifiers found", rf"^error: {FOLDER_GONE}: ")
_SPACE = re.compile(r"\s")


def default_outputs(request: RunRequest) -> tuple[OutputRule, ...]:
    """Name at least one DWI with its gradient table; HeudiConv's exit code is 0 when it converted nothing."""
    folder = f"sub-{request.subject}/ses-{session_of(request)}/dwi"
    return tuple(OutputRule(f"{folder}/*_dwi.{ending}") for ending in ("nii.gz", "bval", "bvec", "json"))


def build(request: RunRequest) -> ContainerRun:
    """Describe the conversion of one session."""
    settings = settings_of(request, BidsConversionSettings)
    session = session_of(request)
    check_labels(request)
    if request.source_path is None:
        raise AdapterError(f"run {request.run_id} of bids_conversion has no DICOM folder")
    _check_output_folder(request)
    mounts = mounts_for(request)
    dicom = mounts.add(DICOM_TARGET, request.source_path)
    return container_run(
        request,
        Plan(
            tool="heudiconv",
            arguments=_arguments(request, settings, mounts=mounts),
            mounts=mounts,
            outputs=outputs_of(request, default_outputs(request)),
            publish_dir=request.paths.bids_root,
            owned=(f"sub-{request.subject}/ses-{session}",),
            environment={"HEUDICONV_LOCKFILE_TIMEOUT": "60"},  # seconds; the default is to wait for ever
            crash_globs=INVALID_NAMES,
            bad_input_patterns=_BAD_INPUT,
            before=(
                own_command(request, "neuroflow.adapters.dataset", arguments=[str(request.paths.bids_root)]),
                _staging(request, request.source_path, dicom),
                *_copied_heuristic(request, settings),
            ),
            inputs=(
                # Known by its fingerprint: a session has gigabytes, in tens of thousands of files.
                InputRule(request.source_path, ("",), hashed=False),
                *(() if settings.heuristic is None else (input_file(settings.heuristic),)),
            ),
        ),
    )


def _arguments(request: RunRequest, settings: BidsConversionSettings, *, mounts: Mounts) -> tuple[str, ...]:
    """Return HeudiConv's command line, each folder as it is seen where HeudiConv runs."""
    work = mounts.seen(WORK_TARGET, request.work_dir)
    return (
        # HeudiConv fails on some non-image files and on .gz, and reads [ ] * ? in folder names as globs.
        "--files",
        f"{work}/{_staged(request)}",
        "-s",
        request.subject,
        "-ss",
        session_of(request),
        "-f",
        mounts.add(HEURISTIC_TARGET, _heuristic(request, settings)),
        "-c",
        "dcm2niix",
        # The files at the top of the dataset are written under a lock that outlives a killed job: not by HeudiConv.
        "-b",
        "notop",
        "--minmeta",  # not the whole DICOM header in each sidecar
        # The console's restart in the middle of a session makes a second StudyInstanceUID.
        "-g",
        "all",
        # HeudiConv reuses its notes on a session even when files were added: new ones for each attempt, and
        # not in the dataset.
        "-o",
        f"{work}/heudiconv-{request.token}",
        "-a",
        mounts.seen(OUT_TARGET, request.output_dir),
    )


def _heuristic(request: RunRequest, settings: BidsConversionSettings) -> str:
    if settings.heuristic is not None:
        return str(settings.heuristic)
    return f"{request.work_dir}/heuristic-{request.token}.py" if request.is_remote else str(SHIPPED_HEURISTIC)


def _copied_heuristic(request: RunRequest, settings: BidsConversionSettings) -> tuple[tuple[str, ...], ...]:
    """Return the command that puts the shipped heuristic where the node sees it: it lies in another installation."""
    if settings.heuristic is not None or not request.is_remote:
        return ()
    return (own_command(request, "neuroflow.adapters.heuristics", arguments=[_heuristic(request, settings)]),)


def _check_output_folder(request: RunRequest) -> None:
    # Nipype reads the names of converted files from dcm2niix' log, up to the first space, and then finds none.
    if request.runtime == "host" and _SPACE.search(request.output_dir):
        raise AdapterError(
            f"HeudiConv can't write into a path with a space, and on the host it would: {request.output_dir!r}",
            hint="choose a paths.work_root without spaces, or run bids_conversion in a container",
        )


def _staging(request: RunRequest, source: str, seen: str) -> tuple[str, ...]:
    target = str(Path(request.work_dir) / _staged(request))
    options = [
        # What discovery counted, and nothing else. An empty glob names nothing; without one, there are defaults.
        *(f"--ignore={glob}" for glob in request.ignore or ("",)),
        f"--root={request.paths.dicom_root}",
        *(() if seen == source else (f"--link-prefix={seen}",)),
    ]
    return own_command(request, "neuroflow.discovery.stage", arguments=[source, target, *options])


def _staged(request: RunRequest) -> str:
    return f"dicom-{request.token}"


ADAPTER = Adapter("bids_conversion", build=build, default_outputs=default_outputs)
