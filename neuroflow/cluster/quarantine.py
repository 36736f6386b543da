"""Put aside what earlier attempts of a run, and earlier lives of its job, left half done; standard library only."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from neuroflow.cluster import claim
from neuroflow.cluster.files import rename
from neuroflow.cluster.publish import Plan, interrupted_plan

FOLDER_NAME = "quarantine"
OUTPUT_PREFIX = "out-"  # of the folders, beside the work directory, that take the output of one attempt each
# A lock holds nothing, or the name of its holder; a larger file only has such a name.
_LARGEST_LOCK_BYTES = 4096


@dataclass(frozen=True)
class PutAside:
    """What was moved, by its path below the run's folder now, and in words what could not be."""

    moved: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def put_aside(output_dir: Path, work_dir: Path, *, token: str, again: bool) -> PutAside:
    """Move half-written output and stale locks into `quarantine/<token>` of the run's folder, with their paths.

    Args:
        again: whether this is a further life of the attempt's job, whose own output folder is half-written too.

    Raises:
        OSError: when the attempt's own output folder can't be moved: results of two lives must not mix.
    """
    root = output_dir.parent
    target = root / FOLDER_NAME / _free_name(root / FOLDER_NAME, token=token, again=again)
    moved, problems = [], []
    if again and output_dir.exists():
        moved.append(_move(output_dir, target / output_dir.name))
    for path, place in [
        *((folder, target / folder.name) for folder in _earlier_outputs(output_dir)),
        *((lock, target / work_dir.name / lock.relative_to(work_dir)) for lock in _stale_locks(work_dir)),
    ]:
        try:
            moved.append(_move(path, place))
        except OSError as error:  # it is not in this attempt's way, or the tool will say that it is
            problems.append(f"{path} can't be put aside: {error.strerror or error}")
    return PutAside(tuple(str(place.relative_to(root)) for place in moved), tuple(problems))


def unfinished_publication(output_dir: Path, *, attempts: Path) -> Plan | None:
    """Return the plan of an earlier attempt of this run whose checked results are only partly in the dataset.

    A later attempt meets one where a publication failed, or its job was killed in the middle. What is left of that
    output is the only whole copy of results that took hours: it is neither put aside nor made anew, but published
    to the end. The earlier attempt is fenced here as well: a requeued job of it would find its output gone, and take
    that for published.

    Args:
        attempts: the folder that holds the attempts' own, by token.
    """
    plans = []
    for folder in _earlier_outputs(output_dir):
        attempt = attempts / folder.name.removeprefix(OUTPUT_PREFIX)
        if not attempt.is_dir():
            continue
        claim.fence(attempt)
        plan = interrupted_plan(attempt)
        if plan is not None and plan.output_dir == str(folder):
            plans.append((folder.stat().st_mtime, plan))
    return max(plans, key=lambda item: item[0])[1] if plans else None


def _earlier_outputs(output_dir: Path) -> list[Path]:
    try:
        with os.scandir(output_dir.parent) as scan:
            names = [entry.name for entry in scan if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    return [
        output_dir.parent / name for name in sorted(names) if name.startswith(OUTPUT_PREFIX) and name != output_dir.name
    ]


def _stale_locks(work_dir: Path) -> Iterator[Path]:
    """Yield the locks in a work directory: one attempt of a run works at a time, so whoever held them is dead.

    FreeSurfer refuses a subject that has an `IsRunning` file, and other tools wait for a lock for ever.
    """
    for folder, _, names in os.walk(work_dir):
        yield from (Path(folder, name) for name in sorted(names) if _is_lock(Path(folder, name)))


def _is_lock(path: Path) -> bool:
    if path.name.startswith("IsRunning"):
        return True
    if not path.name.endswith((".lock", ".matplotlib-lock")):
        return False
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size <= _LARGEST_LOCK_BYTES


def _free_name(folder: Path, *, token: str, again: bool) -> str:
    life = 2 if again else 1
    while True:
        name = token if life == 1 else f"{token}-life-{life}"
        if not os.path.lexists(folder / name):
            return name
        life += 1


def _move(path: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    rename(path, target)
    return target
