"""Call one of VoxelOps' runners, as an attempt's tool: `python -P voxelops_call.py CALL`, where CALL is JSON.

Runs in the Python that has VoxelOps, which may have no neuroflow: standard library and VoxelOps only.
"""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

UNAVAILABLE = 125  # docker's own code where it could not run anything: the site's fault, not the run's
BAD_RESULT = 70  # EX_SOFTWARE
_DOCKER_SECONDS = 20


def main(text: str) -> int:
    """Carry out a call and return the tool's exit code."""
    call = json.loads(text)
    try:
        import voxelops
    except ImportError as error:
        return _unavailable(
            f"VoxelOps can't be imported by {sys.executable}: {error}. Install it with `pip install "
            "'neuroflow[voxelops]'`, or `pip install 'voxelops<0.4' 'parcellate<0.4'` in an environment of its own, "
            "and name that one's Python in containers.voxelops_python"
        )
    if call["runner"] != "run_qsiparc" and shutil.which("docker") is None:
        return _unavailable("there is no `docker` on PATH: where: voxelops needs Docker (not Podman or Apptainer)")
    signal.signal(signal.SIGTERM, lambda number, frame: _stop(call, number, frame))
    _give_terminal()
    view = call.get("view")
    try:
        if view is not None:
            make_view(view)
        return _run(voxelops, call)
    finally:
        if view is not None:
            shutil.rmtree(view["folder"], ignore_errors=True)


def _unavailable(text: str) -> int:
    print("Error: " + " ".join(text.split()), file=sys.stderr)
    return UNAVAILABLE


def _run(voxelops: Any, call: dict[str, Any]) -> int:
    from voxelops.exceptions import DependencyError

    inputs_class, config_class = (getattr(voxelops, name) for name in call["classes"])
    config = {name: _path(name, value) for name, value in call["config"].items()}
    inputs = dict(call["inputs"])
    if "atlases" in call:
        inputs["atlases"] = find_atlases(Path(call["view"]["folder"]), **call["atlases"])
    logs = Path(call["record"]).with_suffix(".logs")
    try:
        result = getattr(voxelops, call["runner"])(inputs_class(**inputs), config_class(**config), log_dir=logs)
    except DependencyError as error:  # no such image, and it can't be pulled
        return _unavailable(str(error))
    except voxelops.ProcedureError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return BAD_RESULT
    _write_record(call, result)
    # VoxelOps keeps what a tool writes until it has ended.
    for stream, name in ((sys.stdout, "stdout"), (sys.stderr, "stderr")):
        stream.write(result.get(name, ""))
        stream.flush()
    _tidy(call)
    return int(result.get("exit_code", 0 if result.get("success") else BAD_RESULT))


def _path(name: str, value: Any) -> Any:
    # Their dataclasses turn most paths from text, and not each one.
    return Path(value) if name in ("fs_license", "heuristic") and value is not None else value


def _write_record(call: dict[str, Any], result: dict[str, Any]) -> None:
    kept = {name: value for name, value in result.items() if name not in ("stdout", "stderr")}
    Path(call["record"]).write_text(json.dumps(kept, indent=2, default=str), encoding="utf-8")


def _tidy(call: dict[str, Any]) -> None:
    """Take HeudiConv's notes on the session out of the results: its next conversion would go by them."""
    notes = Path(call["output_dir"]) / ".heudiconv"
    if notes.is_dir():
        shutil.rmtree(call["keep"], ignore_errors=True)
        shutil.move(notes, call["keep"])


def make_view(view: dict[str, Any]) -> None:
    """Make a folder with the files of one subject's sessions alone: VoxelOps has no option for sessions.

    Hard links, or copies across file systems: a container does not see what a symbolic link points to.
    """
    folder = Path(view["folder"])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if "links" in view:
        for link in sorted(Path(view["links"]).iterdir()):
            _place(link, folder / link.name)
        return
    subject, sessions = f"sub-{view['subject']}", view["sessions"]
    dataset = Path(view["dataset"])
    _view_of(dataset, folder, subject, sessions)
    for derived in dataset.glob("derivatives/*/"):  # QSIRecon has one for each workflow
        _view_of(derived, folder / "derivatives" / derived.name, subject, sessions)


def _view_of(dataset: Path, folder: Path, subject: str, sessions: list[str]) -> None:
    for path in dataset.iterdir():
        if path.is_file() and not path.name.startswith("sub-"):
            _place(path, folder / path.name)
    of_subject = dataset / subject
    for path in of_subject.iterdir() if of_subject.is_dir() else ():
        if not path.name.startswith("ses-") or path.name.removeprefix("ses-") in sessions:
            _place_all(path, folder / subject / path.name)


def find_atlases(dataset: Path, *, names: list[str], tables: str) -> list[Any]:
    """Return the atlases of a session's view, each with its table: VoxelOps' own search finds neither name nor table.

    QSIRecon names an atlas by the entity `seg`; parcellate looks for `segmentation`.
    """
    from parcellate.interfaces.models import AtlasDefinition

    found: dict[str, Any] = {}
    for image in sorted(dataset.glob("sub-*/ses-*/dwi/*_seg-*_dseg.nii.gz")):
        entities = dict(part.partition("-")[::2] for part in image.name.split("_"))
        name = entities["seg"]
        table = next(iter(sorted(Path(tables, f"atlas-{name}").glob("*_dseg.tsv"))), None)
        if not names or name in names:
            found.setdefault(name, AtlasDefinition(name, image, lut=table, space=entities.get("space")))
    if not found:  # VoxelOps would search by itself, and find others
        print(f"No dseg files found in {dataset}" + (f" of {', '.join(names)}" if names else ""), file=sys.stderr)
        raise SystemExit(BAD_RESULT)
    return list(found.values())


def _place_all(source: Path, target: Path) -> None:
    if not source.is_dir():
        _place(source, target)
        return
    target.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        _place_all(path, target / path.name)


def _place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    real = os.path.realpath(source)
    try:
        os.link(real, target)
    except OSError:  # another file system, or a file of someone else's
        shutil.copy2(real, target)


def _give_terminal() -> None:
    """Make standard input a terminal: VoxelOps calls `docker run -it` for QSIRecon, which refuses anything else."""
    _, terminal = pty.openpty()
    os.dup2(terminal, 0)


def _stop(call: dict[str, Any], number: int, _frame: FrameType | None) -> None:
    """End the container, which would outlive its client; VoxelOps gives it no name, so by the folder that it has."""
    with suppress(OSError, subprocess.SubprocessError):
        find = ["docker", "ps", "--quiet", "--filter", f"volume={call['output_dir']}"]
        found = subprocess.run(find, capture_output=True, text=True, timeout=_DOCKER_SECONDS, check=True).stdout.split()
        if found:
            subprocess.run(["docker", "kill", *found], timeout=_DOCKER_SECONDS, check=False, capture_output=True)
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
