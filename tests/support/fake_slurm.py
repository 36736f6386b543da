"""Programs that answer as a recorded cluster did: SLURM's commands in a folder for PATH, and no others of a site."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

RECORDED = Path(__file__).resolve().parents[1] / "cluster_layer" / "recorded"
# What the survey's scripts need of a system.
SYSTEM = ("bash", "cat", "find", "head", "nproc", "sed", "sleep", "wc")
_CASES = {
    "scontrol": {"show config": "config", "show partition": "partitions"},
    "sinfo": {"-o": "nodes"},
    "id": {"-Gn": "groups"},
    "sacct": {"-o": "accounting"},
    "sacctmgr": {
        "format=DefaultAccount": "default_account",
        "format=Account,QOS": "user_qos",
        "show assoc": "associations",
        "Preempt": "preempt",
        "show qos": "qos",
    },
}


def fake_slurm(folder: Path, recorded: str, *, instead: Mapping[str, str] | None = None) -> Path:
    """Make the programs of a recorded cluster and return the folder for PATH.

    Args:
        folder: where to make them.
        recorded: the folder with the answers.
        instead: shell lines of programs that do something else, by name.
    """
    system_only(folder)
    for program, cases in _CASES.items():
        lines = [
            f"*{shlex.quote(words)}*) cat {shlex.quote(str(RECORDED / recorded / f'{name}.txt'))} ;;"
            for words, name in cases.items()
        ]
        _program(folder / program, "\n".join(['case "$*" in', *lines, "esac"]))
    for program, script in (instead or {}).items():
        _program(folder / program, script)
    return folder


def system_only(folder: Path) -> Path:
    """Make a folder for PATH that has no more than a shell and a few tools."""
    folder.mkdir(exist_ok=True)
    for name in SYSTEM:
        found = shutil.which(name, path=os.defpath)
        assert found is not None
        (folder / name).symlink_to(found)
    return folder


def _program(path: Path, script: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(f"#!{shutil.which('bash', path=os.defpath)}\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
