"""QSIPrep: the preprocessing of one subject's sessions."""

from __future__ import annotations

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
    own_command,
    settings_of,
)
from neuroflow.adapters.mounts import Mounts
from neuroflow.adapters.versions import QSIPrepOptions, qsiprep_options
from neuroflow.config.execution import QSIPrepSettings
from neuroflow.domain import ContainerRun, InputRule, OutputRule
from neuroflow.errors import AdapterError

BIDS_TARGET = "/bids"
FILTER_TARGET = "/input/bids_filter.json"
LICENSE_TARGET = "/input/license.txt"

_MAX_THREADS = 8  # per process; QSIPrep's own limit
BAD_INPUT = (
    r"No DWI images found for (?:participant|subject)",
    r"No DWI files found with session filter",
    r"No T[12]w images found for (?:participant|subject)(?!.*no problem)",
    r"One or more participant labels were not found in the BIDS directory",
)


def default_outputs(request: RunRequest) -> tuple[OutputRule, ...]:
    """Name the preprocessed DWI of every session: QSIPrep may leave sessions out and still succeed."""
    folders = [f"sub-{request.subject}/ses-{session}/dwi" for session in request.sessions]
    return tuple(
        OutputRule(f"{folder}/*_desc-preproc_dwi.{ending}")
        for folder in folders
        for ending in ("nii.gz", "bval", "bvec")
    )


def build(request: RunRequest) -> ContainerRun:
    """Describe one run over all of a subject's sessions, or over one of them."""
    settings = settings_of(request, QSIPrepSettings)
    check_labels(request)
    if not request.sessions:
        raise AdapterError(f"run {request.run_id} of qsiprep covers no session of sub-{request.subject}")
    mounts = mounts_for(request)
    return container_run(
        request,
        Plan(
            tool="qsiprep",
            arguments=_arguments(request, settings, mounts),
            mounts=mounts,
            outputs=outputs_of(request, default_outputs(request)),
            publish_dir=request.derivatives / "qsiprep",
            owned=_owned(request),
            environment=add_templateflow(request, mounts),
            crash_globs=(f"sub-{request.subject}/**/log/**/crash-*", "logs/crash-*"),
            bad_input_patterns=BAD_INPUT,
            before=(
                own_command(
                    request, "neuroflow.adapters.dataset", arguments=["--participants", str(request.paths.bids_root)]
                ),
            ),
            inputs=_inputs(request, settings),
        ),
    )


def _inputs(request: RunRequest, settings: QSIPrepSettings) -> tuple[InputRule, ...]:
    sessions = InputRule(
        str(request.paths.bids_root), tuple(f"sub-{request.subject}/ses-{session}" for session in request.sessions)
    )
    return (sessions, *(() if settings.bids_filter_file is None else (input_file(settings.bids_filter_file),)))


def _owned(request: RunRequest) -> tuple[str, ...]:
    subject = f"sub-{request.subject}"
    if request.session is not None:  # sessionwise: the report lies in the session's folder too
        return (f"{subject}/ses-{request.session}",)
    return (subject, f"{subject}.html", f"{subject}_*.html")


def _arguments(request: RunRequest, settings: QSIPrepSettings, mounts: Mounts) -> tuple[str, ...]:
    options = qsiprep_options(request.version)
    reference = settings.subject_anatomical_reference
    return (
        # The positionals come first: options that take several values would swallow them.
        mounts.add(BIDS_TARGET, request.paths.bids_root),
        mounts.seen(OUT_TARGET, request.output_dir),
        "participant",
        "--participant-label",
        request.subject,
        options.session,
        *request.sessions,
        "--output-resolution",
        f"{settings.output_resolution:g}",
        "--subject-anatomical-reference",
        options.first_session_reference if reference == "first-lex" else reference,
        *(("--anat-modality", settings.anat_modality) if settings.anat_modality else ()),
        *_files(request, settings, options, mounts),
        *resource_options(request),
        "-w",
        mounts.seen(WORK_TARGET, request.work_dir),
        "--notrack",
        "--skip-bids-validation",
        "--stop-on-first-crash",
    )


def resource_options(request: RunRequest) -> tuple[str, ...]:
    """Write the request in QSIPrep's and QSIRecon's words; their defaults are the whole node.

    A twentieth of the memory is left to Python itself: what is planned up to the limit is killed at it.
    """
    cpus = request.resources.cpus
    return (
        "--nprocs",
        str(cpus),
        "--omp-nthreads",
        str(max(1, min(cpus - 1, _MAX_THREADS))),
        "--mem",
        str(request.resources.memory_mb * 95 // 100),
    )


def _files(request: RunRequest, settings: QSIPrepSettings, options: QSIPrepOptions, mounts: Mounts) -> tuple[str, ...]:
    files: tuple[str, ...] = ()
    if settings.bids_filter_file is not None:
        files += ("--bids-filter-file", mounts.add(FILTER_TARGET, settings.bids_filter_file))
    if options.license_file and request.paths.freesurfer_license is not None:
        files += ("--fs-license-file", mounts.add(LICENSE_TARGET, request.paths.freesurfer_license))
    return files


ADAPTER = Adapter("qsiprep", build=build, default_outputs=default_outputs)
