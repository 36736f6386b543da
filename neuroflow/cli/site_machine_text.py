"""The part of a new site file that comes from the machine: container runtime, modules, scratch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from neuroflow.cli.yaml_text import comment, scalar
from neuroflow.cluster.survey_machine import NODE_LOCAL, RUNTIMES, MachineFacts


def runtime_of(machine: MachineFacts, *, on_slurm: bool) -> tuple[str | None, str | None]:
    """Return the runtime to use, and the module to load for it; no Docker on a cluster, where it needs root."""
    allowed = [name for name in RUNTIMES if name != "docker" or not on_slurm]
    here = next((name for name in allowed if name in machine.programs), None)
    if here in ("apptainer", "singularity") or not machine.modules:
        return here, None
    # A site's module is what its nodes have; podman on a login node says little about them.
    module = machine.modules[0]
    return ("apptainer" if "apptainer" in module.lower() else "singularity"), module


def setup_lines(machine: MachineFacts) -> Iterator[str]:
    """Write the shell lines before a job, which bring the container runtime onto a node's PATH."""
    runtime, module = runtime_of(machine, on_slurm=True)
    if module is not None:
        yield from comment("from `module -t avail`: the newest module of a container runtime", indent=2)
        yield f"  setup_lines: [{scalar(f'module load {module}')}]"
    elif runtime is not None:
        yield from comment(f"{runtime} is on PATH here without a module; if the nodes need one, load it:", indent=2)
        yield '  # setup_lines: ["module load apptainer"]'
    else:
        yield '  # setup_lines: ["module load apptainer"]'
    others = [name for name in machine.modules if name != module]
    if others:
        yield from comment(f"Other modules: {', '.join(others[:12])}{', ...' * (len(others) > 12)}", indent=2)


def scratch_lines(machine: MachineFacts, settings: Mapping[str, str]) -> Iterator[str]:
    """Write the setup lines and the node-local scratch folder."""
    yield from setup_lines(machine)
    yield ""
    folder, why = _scratch_folder(settings)
    if folder is not None:
        yield from comment(f"from `scontrol show config`: {why}. It becomes the container's /tmp", indent=2)
        yield f"  scratch: {scalar(folder)}"
    else:
        told = f"; {why} (`scontrol show config`)" if why else ""
        yield from comment(
            "TODO a node-local folder for temporary files, as a job's shell sees it: a variable that only jobs have, "
            f"say. It becomes the container's /tmp, which lies in paths.work_root without it{told}",
            indent=2,
        )
        yield "  # scratch: $SLURM_TMPDIR"
    for name, value in machine.variables.items():
        kind = "" if name in NODE_LOCAL else "; often a network file system: good for paths.work_root"
        yield from comment(f"Set here: {name}={value}{kind}", indent=2)


def _scratch_folder(settings: Mapping[str, str]) -> tuple[str | None, str]:
    # https://slurm.schedmd.com/job_container.conf.html: each job gets a /tmp of its own, on the node's disk.
    if "tmpfs" in settings.get("JobContainerType", ""):
        return "/tmp", f"JobContainerType={settings['JobContainerType']}, so each job has a /tmp of its own"  # noqa: S108
    folder = settings.get("TmpFS", "")
    if folder.rstrip("/") in ("", "/tmp"):  # noqa: S108 - slurm.conf's default says nothing about the site
        return None, f"TmpFS={folder}" if folder else ""
    # %h and %n, the node's names, mean something to slurmd only: https://slurm.schedmd.com/slurm.conf.html#OPT_TmpFS
    if "%" in folder or not folder.startswith("/"):
        return None, f"TmpFS={folder}"
    return folder, f"TmpFS={folder}"


def container_lines(machine: MachineFacts, *, on_slurm: bool) -> Iterator[str]:
    """Write the section of the container runtime."""
    runtime, module = runtime_of(machine, on_slurm=on_slurm)
    yield "containers:"
    if runtime is None:
        yield from comment("TODO no container runtime was found: neither on PATH nor among the modules", indent=2)
        yield "  # runtime: apptainer"
    elif module is not None:
        yield from comment(f"from `module -t avail`: {module}", indent=2)
        yield f"  runtime: {runtime}"
    else:
        program = machine.programs[runtime]
        yield from comment(f"from `{runtime} --version`: {program.version or 'no answer'} ({program.path})", indent=2)
        yield f"  runtime: {runtime}"
    for name, program in machine.programs.items():
        if name != runtime:
            yield from comment(f"Also on PATH: {name} ({program.path}): {program.version or 'no answer'}", indent=2)
