"""What every adapter takes, gives and shares."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from neuroflow.adapters.mounts import Mounts
from neuroflow.adapters.result import read_result
from neuroflow.adapters.runtimes import gpu_arguments
from neuroflow.config.execution import Containers, PipelineSettings
from neuroflow.config.paths import Paths
from neuroflow.domain import AdapterResult, ContainerRun, ExitRecord, InputRule, OutputRule, Resources, is_label
from neuroflow.errors import AdapterError

# What the tools see, in every container.
WORK_TARGET = "/work"
OUT_TARGET = "/out"
TEMPLATEFLOW_TARGET = "/templateflow"

_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_SettingsT = TypeVar("_SettingsT", bound=PipelineSettings)


@dataclass(frozen=True)
class RunRequest:
    """One attempt of a run, and everything that its command depends on."""

    run_id: int
    token: str
    pipeline: str
    subject: str
    session: str | None
    sessions: tuple[str, ...]  # of a subject's run: all sessions that it covers
    source_path: str | None  # the DICOM session folder, for bids_conversion
    resources: Resources
    settings: PipelineSettings
    image: str | None
    version: str | None  # of the tool in the image
    runtime: str
    paths: Paths
    containers: Containers
    work_dir: str
    output_dir: str
    attempt_folder: str
    python: str  # with neuroflow in it, where the attempt works
    is_remote: bool = False  # the attempt works where this machine's own files are not seen
    ignore: tuple[str, ...] = ()  # globs of names that discovery left out, and so must the staging

    @property
    def derivatives(self) -> Path:
        """The folder of the derivative datasets."""
        return self.paths.derivatives_root


@dataclass(frozen=True)
class Adapter:
    """A pipeline's command line, outputs and result."""

    name: str
    build: Callable[[RunRequest], ContainerRun]  # describes one attempt, without touching the disk; AdapterError
    default_outputs: Callable[[RunRequest], tuple[OutputRule, ...]]  # without which exit code 0 is no success
    result: Callable[[ContainerRun, ExitRecord], AdapterResult] = read_result


@dataclass(frozen=True)
class Plan:
    """The parts of a ContainerRun in which the pipelines differ."""

    tool: str  # the program's own name
    arguments: tuple[str, ...]
    mounts: Mounts
    outputs: tuple[OutputRule, ...]
    publish_dir: Path
    owned: tuple[str, ...]
    environment: dict[str, str]
    crash_globs: tuple[str, ...] = ()
    bad_input_patterns: tuple[str, ...] = ()
    before: tuple[tuple[str, ...], ...] = ()
    inputs: tuple[InputRule, ...] = ()  # what the tool reads, for the provenance of its results


def settings_of(request: RunRequest, kind: type[_SettingsT]) -> _SettingsT:
    """Return the request's settings, of the pipeline's own type."""
    if not isinstance(request.settings, kind):
        raise AdapterError(
            f"{request.pipeline} needs settings of the type {kind.__name__}, "
            f"it was given {type(request.settings).__name__}"
        )
    return request.settings


def session_of(request: RunRequest) -> str:
    """Return the session label of a session-level run."""
    if request.session is None:
        raise AdapterError(f"{request.pipeline} runs per session; run {request.run_id} names none")
    return request.session


def check_labels(request: RunRequest) -> None:
    """Refuse labels that are not letters and digits: they become folder names, globs and options."""
    for label in (request.subject, *request.sessions, *((request.session,) if request.session is not None else ())):
        if not is_label(label):
            raise AdapterError(f"run {request.run_id}: the label {label!r} may only hold letters and digits")


def mounts_for(request: RunRequest) -> Mounts:
    """Start a run's mounts with what all tools get: /work and /out."""
    mounts = Mounts(request.runtime)
    mounts.add(WORK_TARGET, request.work_dir, read_only=False)
    mounts.add(OUT_TARGET, request.output_dir, read_only=False)
    return mounts


def add_templateflow(request: RunRequest, mounts: Mounts) -> dict[str, str]:
    """Bind the site's TemplateFlow folder, where there is one, and name it to the tool."""
    home = request.paths.templateflow_home
    # Read-only: downloads are not atomic, and parallel jobs would leave each other cut files.
    return {} if home is None else {"TEMPLATEFLOW_HOME": mounts.add(TEMPLATEFLOW_TARGET, home)}


def input_file(path: str | Path) -> InputRule:
    """Name one file of the site's as an input."""
    place = Path(path)
    return InputRule(str(place.parent), (glob.escape(place.name),))


def own_command(request: RunRequest, module: str, *, arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the argument list of one of our own modules, for `ContainerRun.before`."""
    return (request.python, "-m", module, *arguments)


def outputs_of(request: RunRequest, defaults: tuple[OutputRule, ...]) -> tuple[OutputRule, ...]:
    """Return the configured output globs instead of the defaults, where there are any."""
    if request.settings.outputs is None:
        return defaults
    return tuple(rule for text in request.settings.outputs for rule in _filled(text, request))


def _filled(text: str, request: RunRequest) -> tuple[OutputRule, ...]:
    text = text.replace("{subject}", request.subject)
    sessions = (request.session,) if request.session is not None else request.sessions
    if "{session}" not in text:
        return (OutputRule(text),)
    return tuple(OutputRule(text.replace("{session}", session)) for session in sessions)


def container_run(request: RunRequest, plan: Plan) -> ContainerRun:
    """Join a pipeline's plan with what the site's configuration adds to every run.

    Raises:
        AdapterError: when the image is missing, or a bind or variable name can't be used.
    """
    in_container = request.runtime != "host"
    if in_container and not request.image:
        raise AdapterError(
            f"there is no image for {request.pipeline}",
            hint=f"set pipelines.{request.pipeline}.image, or its runtime to `host`",
        )
    if in_container:
        for text in request.containers.binds:
            plan.mounts.add_configured(text)
    return ContainerRun(
        pipeline=request.pipeline,
        name=request.token,
        runtime=request.runtime,
        image=request.image if in_container else None,
        version=request.version,
        program=request.settings.program or _beside_python(request, plan.tool),
        arguments=(*plan.arguments, *request.settings.args),
        binds=plan.mounts.binds,
        environment=_environment(request, plan.environment),
        output_dir=request.output_dir,
        work_dir=request.work_dir,
        publish_dir=str(plan.publish_dir),
        owned=plan.owned,
        outputs=plan.outputs,
        crash_globs=plan.crash_globs,
        bad_input_patterns=plan.bad_input_patterns,
        before=plan.before,
        inputs=plan.inputs,
        runtime_args=(
            *gpu_arguments(request.runtime, request.resources.gpus),
            *request.containers.runtime_args,
            *request.settings.runtime_args,
        ),
    )


def _beside_python(request: RunRequest, tool: str) -> tuple[str, ...]:
    # The tools' console scripts lie where the node's Python lies, whatever PATH says there.
    python = Path(request.python)
    return (str(python.parent / tool) if python.is_absolute() else tool,)


def _environment(request: RunRequest, own: dict[str, str]) -> dict[str, str]:
    variables = {
        "NO_ET": "1",  # no version checks over the network at start
        "PYTHONNOUSERSITE": "1",  # the host's ~/.local would leak into the container's Python
        "OMP_NUM_THREADS": "1",  # the tools run processes in parallel, and get their threads as options
        "TEMPLATEFLOW_AUTOUPDATE": "0",
        **own,
        **request.containers.environment,
        **request.settings.environment,
    }
    for name in variables:
        if not _VARIABLE_NAME.fullmatch(name):
            raise AdapterError(
                f"{name!r} can't be the name of an environment variable: letters, digits and '_' only, no digit first",
                hint=f"see containers.environment and pipelines.{request.pipeline}.environment",
            )
    return variables
