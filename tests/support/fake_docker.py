#!/usr/bin/env python3
"""A stand-in for Docker's client, for tests alone: it runs what a container would, on the host.

It notes each command line, refuses what the real client refuses (`-it` without a terminal, an image that was not
pulled), and gives the program the host's paths in place of the container's. The programs behind the images are
HeudiConv itself and the small demo apps of containers/demo, which are not QSIPrep and QSIRecon. No result comes from
here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

APPS = Path(__file__).resolve().parents[2] / "containers" / "demo"
FLAGS_WITH_VALUE = {"--user", "-v"}


def main(arguments: list[str]) -> int:
    """Play `docker image inspect`, `docker ps`, `docker kill` and `docker run`."""
    with Path(os.environ["FAKE_DOCKER_LOG"]).open("a", encoding="utf-8") as log:
        log.write(json.dumps(arguments) + "\n")
    if arguments[:2] == ["image", "inspect"]:
        return 0 if "demo" in arguments[2] else 1
    if arguments[0] == "run":
        return run(arguments[1:])
    if arguments[0] == "ps":
        print("c0ffee")
        return 0
    return 0 if arguments[0] == "kill" else 1


def run(arguments: list[str]) -> int:
    """Run the program of an image with the host's paths."""
    mounts: dict[str, str] = {}
    while arguments[0].startswith("-"):
        flag = arguments.pop(0)
        if flag == "-it" and not sys.stdin.isatty():
            print("the input device is not a TTY", file=sys.stderr)
            return 1
        if flag in FLAGS_WITH_VALUE:
            value = arguments.pop(0)
            if flag == "-v":
                source, target, *_ = value.split(":")
                if not Path(source).exists():
                    print(f"docker: invalid mount: {source} does not exist", file=sys.stderr)
                    return 125
                mounts[target] = source
    image, *rest = arguments
    return subprocess.run([*program(image), *(translated(word, mounts) for word in rest)], check=False).returncode


def program(image: str) -> list[str]:
    """Return what an image would run."""
    if "heudiconv" in image:
        folder = Path(sys.executable).parent
        os.environ["PATH"] = f"{folder}:{os.environ['PATH']}"
        return [str(folder / "heudiconv")]
    return [sys.executable, str(APPS / ("preproc_app.py" if "preproc" in image else "recon_app.py"))]


def translated(word: str, mounts: dict[str, str]) -> str:
    """Return a word with the host's path in place of the container's."""
    name, separator, value = word.rpartition("=")
    for target in sorted(mounts, key=len, reverse=True):
        if value == target or value.startswith(f"{target}/"):
            value = mounts[target] + value[len(target) :]
            break
    # The demo app knows a workflow by its name alone; QSIRecon reads it out of the file.
    if value.endswith(".yaml") and Path(value).is_file():
        value = Path(value).read_text(encoding="utf-8").split("name:")[1].split()[0]
    return f"{name}{separator}{value}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
