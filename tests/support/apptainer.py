"""The real Apptainer, and the options it needs on this machine."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.commands import run

HOW = (
    "run `tests/cluster/services.sh install` and `tests/cluster/services.sh up` as root on Debian, "
    "or install Apptainer and busybox-static"
)
# Root without all capabilities, as in many sandboxes, needs a user namespace.
CANDIDATES: tuple[tuple[str, ...], ...] = ((), ("--userns",))


@dataclass(frozen=True)
class Apptainer:
    """A program that has run a container here."""

    program: str
    runtime_args: tuple[str, ...]  # what `apptainer run` needs here
    image: Path  # a SIF of busybox whose runscript runs its arguments


def find_apptainer(folder: Path) -> Apptainer | None:
    """Build a tiny image in `folder` and return Apptainer if it can run it, None otherwise."""
    program = shutil.which("apptainer")
    if program is None:
        return None
    try:
        image = build_busybox(program, folder)
    except (OSError, RuntimeError, subprocess.TimeoutExpired):
        return None
    for runtime_args in CANDIDATES:
        try:
            answer = run([program, "--silent", "run", "--containall", *runtime_args, image, "echo", "alive"])
        except (RuntimeError, subprocess.TimeoutExpired):
            continue
        if answer.strip() == "alive":
            return Apptainer(program, runtime_args, image)
    return None


def build_busybox(program: str, folder: Path) -> Path:
    """Build an image from Debian's static busybox, without a network."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise RuntimeError("there is no busybox")
    root = folder / "busybox"
    for name in ("bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "var/tmp"):
        (root / name).mkdir(parents=True)
    shutil.copy(busybox, root / "bin" / "busybox")
    for applet in run([busybox, "--list"]).split():
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")
    definition = folder / "busybox.def"
    definition.write_text(f'Bootstrap: localimage\nFrom: {root}\n\n%runscript\n    exec "$@"\n', encoding="utf-8")
    image = folder / "busybox.sif"
    run([program, "--silent", "build", image, definition])
    return image
