"""The services as files: `neuroflow up` as a SLURM job or systemd unit, `neuroflow tick` in a crontab."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuroflow.cluster.submit import code_path
from neuroflow.cluster.template import render_template
from neuroflow.config import NeuroflowConfig
from neuroflow.config.partitions import JobSettings
from neuroflow.errors import ConfigError, UsageError

# vixie-cron, which Debian has, takes no longer line: https://manpages.debian.org/stable/cron/crontab.5.en.html
LONGEST_CRON_LINE = 998
# `up` needs this long (s) beyond --stop-seconds to end what does not end by itself.
MARGIN_SECONDS = 30
SETTLE_SECONDS = 60
# How long (s) `up` may take until all its services have given a sign of life, beyond the end of what a killed one left.
START_SECONDS = 300
# A supervisor that tells systemd nothing for so long (s) hangs; loading a configuration takes less.
WATCHDOG_SECONDS = 300
# A dead node may keep the lock for as long as NFS keeps its lease, 90 s mostly.
STARTS = 10
STANDARD_PATH = ("/usr/local/bin", "/usr/bin", "/bin")
_SLURM_PROGRAMS = ("sbatch", "squeue", "sacct", "scancel", "scontrol", "sacctmgr", "sinfo")


@dataclass(frozen=True)
class Kind:
    """One file that can be rendered."""

    template: str
    file: str  # its usual name
    title: str


KINDS: Mapping[str, Kind] = {
    "up-job": Kind("up.sbatch.j2", "neuroflow-up.sbatch", "`up` as a SLURM job that has its successor submitted"),
    "scrontab": Kind("tick.scrontab.j2", "neuroflow.scrontab", "`tick` by SLURM's own cron, where the site has it"),
    "cron": Kind("tick.cron.j2", "neuroflow.cron", "`tick` by cron"),
    "systemd": Kind("neuroflow.service.j2", "neuroflow.service", "`up` as a user unit of systemd"),
    "systemd-worker": Kind("neuroflow.service.j2", "neuroflow-worker@.service", "one worker, of the queue after the @"),
    "systemd-beat": Kind("neuroflow.service.j2", "neuroflow-beat.service", "beat, beside workers of their own"),
}


@dataclass(frozen=True)
class JobShape:
    """What a service that is a SLURM job asks for, and where it goes."""

    cpus: int
    memory_mb: int
    time_minutes: int
    settings: JobSettings


@dataclass(frozen=True)
class Installation:
    """How neuroflow is started here, whatever the caller's working directory and environment."""

    config: Path
    program: tuple[str, ...]
    path: str
    environment: tuple[tuple[str, str], ...]

    @classmethod
    def find(cls, config: NeuroflowConfig, environ: Mapping[str, str]) -> Installation:
        """Look for the program, and for what it needs of the environment.

        Raises:
            ConfigError: when the configuration is in no file.
        """
        if not config.files:
            raise ConfigError("a service needs a configuration file, and there is none", hint="neuroflow init FOLDER")
        code = code_path()
        script = Path(sys.executable).with_name("neuroflow")
        program = (str(script),) if code is None and script.is_file() else (sys.executable, "-m", "neuroflow.cli.main")
        variables = {"PYTHONPATH": code, "SLURM_CONF": environ.get("SLURM_CONF")}
        return cls(
            config.files[0].absolute(),
            program,
            ":".join(_path(config, environ)),
            tuple((name, value) for name, value in variables.items() if value),
        )

    def command(self, *arguments: str) -> tuple[str, ...]:
        """Return a command line of neuroflow."""
        return (*self.program, "--config", str(self.config), *arguments)


def _path(config: NeuroflowConfig, environ: Mapping[str, str]) -> list[str]:
    """Return the folders of what neuroflow calls, and the usual ones: cron and systemd know only a few."""
    programs = ["redis-server", config.containers.runtime]
    for name in type(config.pipelines).model_fields:
        programs.append(getattr(config.pipelines, name).runtime or "")
    programs += _SLURM_PROGRAMS if config.cluster.kind == "slurm" else ()
    found = (shutil.which(name, path=environ.get("PATH", "")) for name in programs if name)
    folders = [str(Path(program).absolute().parent) for program in found if program]
    return list(dict.fromkeys([str(Path(sys.executable).parent), *folders, *STANDARD_PATH]))


def missing_programs(config: NeuroflowConfig, environ: Mapping[str, str]) -> list[str]:
    """Return SLURM's programs that this shell does not find, where the site has SLURM."""
    if config.cluster.kind != "slurm":
        return []
    return [name for name in ("sbatch", "squeue") if shutil.which(name, path=environ.get("PATH", "")) is None]


def job_name(config: NeuroflowConfig, what: str) -> str:
    """Return the name of a service's job: one per state folder, for SLURM's `singleton`."""
    digest = hashlib.sha256(os.fsencode(config.paths.state_dir)).hexdigest()[:8]
    return f"neuroflow-{what}-{digest}"


def up_job(config: NeuroflowConfig, here: Installation, shape: JobShape, *, stop_seconds: int) -> str:
    """Return the job script of `neuroflow up`.

    Raises:
        UsageError: when the time is too short for a start and an orderly stop.
    """
    signal_seconds = stop_seconds + MARGIN_SECONDS
    if shape.time_minutes * 60 < signal_seconds + SETTLE_SECONDS:
        raise UsageError(
            f"a job of {shape.time_minutes} min has no time for `up`: it takes {SETTLE_SECONDS} s to settle and "
            f"{signal_seconds} s to stop",
            hint="raise --time-minutes, or lower --stop-seconds",
        )
    command = here.command("up", "--stop-seconds", str(stop_seconds))
    values = {
        **_job_values(config, here, shape, name=job_name(config, "up")),
        "command": command,
        "signal_seconds": signal_seconds,
        "settle_seconds": SETTLE_SECONDS,
        "starts": STARTS,
        "cpus": shape.cpus,
        "setup_lines": shape.settings.setup_lines,
    }
    return _render("up-job", values)


def scrontab(config: NeuroflowConfig, here: Installation, shape: JobShape, *, every_minutes: int) -> str:
    """Return the lines of a scrontab that call `neuroflow tick`."""
    values = _job_values(config, here, shape, name=job_name(config, "tick"))
    return _render("scrontab", {**values, "command": here.command("tick"), "every_minutes": every_minutes})


def cron(config: NeuroflowConfig, here: Installation, *, every_minutes: int) -> str:
    """Return the line of a crontab that calls `neuroflow tick`.

    Raises:
        ConfigError: when the line is longer than cron takes.
    """
    values = {**_values(config, here), "command": here.command("tick"), "every_minutes": every_minutes}
    text = _render("cron", values)
    longest = max(len(line.encode()) for line in text.splitlines())
    if longest > LONGEST_CRON_LINE:
        raise ConfigError(
            f"the line would have {longest} bytes, and cron takes {LONGEST_CRON_LINE}",
            hint="install neuroflow, and put its configuration, into folders with shorter names",
        )
    return text


def unit(config: NeuroflowConfig, here: Installation, kind: str, *, stop_seconds: int) -> str:
    """Return a user unit of systemd.

    Raises:
        ConfigError: when the program's own path can't be written there.
    """
    up = ("up", "--stop-seconds", str(stop_seconds))
    arguments = {"systemd": up, "systemd-beat": ("run", "beat"), "systemd-worker": ("run", "worker")}[kind]
    values = {
        **_values(config, here),
        "command": (*_starter(here.program[0]), *here.command(*arguments)),
        "unit": KINDS[kind].file,
        "enabled": KINDS[kind].file.replace("@.", "@QUEUE."),
        "title": {"systemd": "worker, beat and Redis", "systemd-beat": "beat", "systemd-worker": "a worker"}[kind],
        "of_queue": kind == "systemd-worker",
        "start_seconds": stop_seconds + START_SECONDS if kind == "systemd" else None,
        "watchdog_seconds": WATCHDOG_SECONDS,
        # First the others, then Redis.
        "stop_seconds": 2 * stop_seconds + MARGIN_SECONDS,
    }
    return _render(kind, values)


def _starter(program: str) -> tuple[str, ...]:
    """Return what has to stand before a program whose name systemd refuses, and env does not."""
    if not set(program) & set("'\"\\$"):
        return ()
    if "=" in program:
        raise ConfigError(
            f"systemd can't start {program}: its name holds quotes, '$' or a backslash",
            hint="install neuroflow elsewhere",
        )
    return ("/usr/bin/env",)


def _job_values(config: NeuroflowConfig, here: Installation, shape: JobShape, *, name: str) -> dict[str, Any]:
    own = shape.settings
    named = (("account", own.account), ("partition", own.partition), ("qos", own.qos), ("constraint", own.constraint))
    return {
        **_values(config, here),
        "name": name,
        "memory_mb": shape.memory_mb,
        "time_minutes": shape.time_minutes,
        "placement": [(option, value) for option, value in named if value],
        "sbatch_lines": own.sbatch_lines,
    }


def _values(config: NeuroflowConfig, here: Installation) -> dict[str, Any]:
    return {
        "config": str(here.config),
        "logs": str(config.logs_dir),
        "path": here.path,
        "environment": here.environment,
    }


def _render(kind: str, values: Mapping[str, Any]) -> str:
    return render_template([KINDS[kind].template], values, what=f"the service `{kind}`")
