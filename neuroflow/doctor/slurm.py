"""Whether SLURM is there, answers, and has accounting."""

from __future__ import annotations

import re
from collections.abc import Iterator

from neuroflow.doctor.check import Check, Context, Finding, error, on_slurm, warning, well
from neuroflow.errors import CommandError

TOPIC = "SLURM"
COMMANDS = ("sbatch", "squeue", "scancel", "scontrol", "sinfo")
ACCOUNTING_COMMANDS = ("sacct", "sacctmgr")
OLDEST = (20, 11)
_VERSION = re.compile(r"(\d+)\.(\d+)")

NO_COMMAND = error(
    "slurm-no-command",
    "a command of SLURM is not on the PATH",
    why="neuroflow submits, asks and cancels with them",
    mend="run on a login node or submit host; `module load slurm` before `neuroflow up`, where your site has it as "
    "a module. Without sacct set cluster.accounting to false",
)
OLD = warning(
    "slurm-old",
    "SLURM is older than any release that neuroflow knows",
    why="options and answers of its commands may differ",
    mend="none here: look closely at the first runs (`neuroflow runs list`)",
)
DOWN = error(
    "slurm-down",
    "the SLURM controller does not answer",
    why="nothing can be submitted, and no job be judged",
    mend="ask your admins, or wait; `scontrol ping` tries again",
)
NO_ACCOUNTING = error(
    "slurm-no-accounting",
    "cluster.accounting is true, and sacct does not answer",
    why="jobs that have left the queue stay open until it does",
    mend="set cluster.accounting to false, if this cluster has no accounting database; otherwise ask your admins",
)


def _commands(context: Context) -> Iterator[Finding]:
    accounting = context.config.cluster.accounting
    wanted = (*COMMANDS, *(ACCOUNTING_COMMANDS if accounting else ()))
    missing = []
    version = ""
    for program in wanted:
        try:
            answer = context.ask(program, "--version")
        except CommandError as problem:
            missing.append(NO_COMMAND.seen(f"{program}: {problem}"))
            continue
        version = version or answer.stdout.strip()
    yield from missing
    number = _VERSION.search(version)
    if number is not None and (int(number[1]), int(number[2])) < OLDEST:
        yield OLD.seen(f"it is {version}; known are {OLDEST[0]}.{OLDEST[1]:02} and later")
    elif not missing:
        yield well(f"{', '.join(wanted)} are there ({version})")


def _controller(context: Context) -> Iterator[Finding]:
    try:
        answer = context.ask("scontrol", "ping")
    except CommandError as problem:
        yield DOWN.seen(str(problem))
        return
    said = " / ".join(line.strip() for line in (answer.stdout + answer.stderr).splitlines() if line.strip())
    yield (
        well(said) if "is UP" in answer.stdout else DOWN.seen(said or f"`scontrol ping` ended with {answer.exit_code}")
    )


def _accounting(context: Context) -> Iterator[Finding]:
    try:
        answer = context.ask("sacct", "-X", "-n", "-S", "now-1minutes", "-o", "JobID")
    except CommandError as problem:
        yield NO_ACCOUNTING.seen(str(problem))
        return
    if answer.exit_code != 0:
        said = (answer.stderr.strip() or answer.stdout.strip() or "no reason given").splitlines()[0]
        yield NO_ACCOUNTING.seen(f"`sacct` ended with {answer.exit_code}: {said}")
        return
    yield well("sacct answers")


def has_accounting(context: Context) -> str:
    """Say why accounting is not looked at where none is configured."""
    return on_slurm(context) or ("" if context.config.cluster.accounting else "cluster.accounting is false")


CHECKS = (
    Check(
        "slurm", TOPIC, "its commands", _commands, (NO_COMMAND, OLD), needs=("configuration", "ssh"), applies=on_slurm
    ),
    Check("slurm-controller", TOPIC, "the controller", _controller, (DOWN,), needs=("slurm",), applies=on_slurm),
    Check(
        "slurm-accounting",
        TOPIC,
        "accounting",
        _accounting,
        (NO_ACCOUNTING,),
        needs=("slurm-controller",),
        applies=has_accounting,
    ),
)
