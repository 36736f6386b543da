"""QSIParc: the region tables of one session."""

from __future__ import annotations

from neuroflow.adapters.base import (
    OUT_TARGET,
    Adapter,
    Plan,
    RunRequest,
    check_labels,
    container_run,
    mounts_for,
    outputs_of,
    own_command,
    session_of,
    settings_of,
)
from neuroflow.config.execution import QSIParcSettings
from neuroflow.domain import ContainerRun, InputRule, OutputRule

INPUT_TARGET = "/qsirecon"

_BAD_INPUT = (r"No dseg files found in",)


def default_outputs(request: RunRequest) -> tuple[OutputRule, ...]:
    """Name one table: QSIParc's exit code is 0 when it found no scalar map, or each one failed."""
    return (OutputRule(f"sub-{request.subject}/ses-{session_of(request)}/dwi/atlas-*/*_diffmap.tsv"),)


def build(request: RunRequest) -> ContainerRun:
    """Describe the tables of one session."""
    settings = settings_of(request, QSIParcSettings)
    session = session_of(request)
    check_labels(request)
    mounts = mounts_for(request)
    dataset = request.derivatives / "qsirecon"
    folder = f"sub-{request.subject}/ses-{session}"
    arguments = (
        "run",
        # The root: the parcellations are in its sub-*, the scalar maps in its derivatives/qsirecon-*.
        mounts.add(INPUT_TARGET, dataset),
        mounts.seen(OUT_TARGET, request.output_dir),
        "--participant-label",
        request.subject,
        "--session-label",
        session,
        *(part for name in settings.atlases for part in ("--atlas", name)),
        *(part for name in settings.scalars for part in ("--scalars", name)),
        "--n-procs",
        str(request.resources.cpus),
        "--force",  # QSIParc keeps a table that exists, even one that a killed run cut short
    )
    return container_run(
        request,
        Plan(
            tool="qsiparc",
            arguments=arguments,
            mounts=mounts,
            outputs=outputs_of(request, default_outputs(request)),
            publish_dir=request.derivatives / "qsiparc",
            owned=(f"**/sub-{request.subject}/ses-{session}",),
            environment={},
            bad_input_patterns=_BAD_INPUT,
            before=(own_command(request, "neuroflow.adapters.atlas_tables", arguments=[str(dataset)]),),
            inputs=(InputRule(str(dataset), (folder, f"derivatives/*/{folder}")),),
        ),
    )


ADAPTER = Adapter("qsiparc", build=build, default_outputs=default_outputs)
