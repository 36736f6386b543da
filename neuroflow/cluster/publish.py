"""Move an attempt's results into the dataset; standard library only, because jobs import it.

What the run owns is swapped whole: the old one moves to `.neuroflow/replaced/<token>/` of the dataset, the new one
is renamed in. Everything else is shared with other runs and written file by file; in a dataset_description.json, what
is said there of other runs stays. The plan is kept in a file, so that a publication that was interrupted goes on where
it stopped.
"""

from __future__ import annotations

import errno
import filecmp
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from neuroflow.cluster import claim, lives
from neuroflow.cluster.description import DESCRIPTION_NAME, describe_dataset, read_description
from neuroflow.cluster.files import exists, is_listed_in, rename, write_json
from neuroflow.cluster.globs import owned_names, walk

PLAN_NAME = "publish.json"
_PLACED_NAME = ".neuroflow-placed"
_OWN_FOLDER = ".neuroflow"


@dataclass(frozen=True)
class Plan:
    """What a publication swaps, retires and copies; paths are relative to the dataset."""

    output_dir: str
    publish_dir: str
    token: str
    owned: tuple[str, ...]
    retired: tuple[str, ...]  # owned names of an earlier run that this one did not make again
    shared: tuple[str, ...]

    @property
    def replaced_dir(self) -> Path:
        """The folder that takes what is replaced."""
        return Path(self.publish_dir) / _OWN_FOLDER / "replaced" / self.token


def make_plan(output_dir: Path, publish_dir: Path, *, owned: Sequence[str], token: str) -> Plan:
    """Decide what to publish, without changing anything."""
    new = _owned_names(output_dir, owned)
    old = _owned_names(publish_dir, owned)
    shared = [
        path for path, entry in walk(output_dir) if not entry.is_dir(follow_symlinks=False) and not _is_below(path, new)
    ]
    return Plan(
        output_dir=str(output_dir),
        publish_dir=str(publish_dir),
        token=token,
        owned=tuple(new),
        retired=tuple(path for path in old if path not in new),
        shared=tuple(shared),
    )


def begin(plan: Plan, *, folder: Path, life: int = 0) -> bool:
    """Keep a plan in an attempt's folder; False, and nothing kept, for one that has been given up.

    The plan is written before the fence is looked for, and whoever fences looks for the plan afterwards: one of the
    two sees the other. So a publication that has begun is never taken for one that won't. Likewise a life of a job
    leaves its mark before it looks for a plan of the former one.

    Args:
        life: the number of the job's life that publishes (cluster/lives.py).
    """
    keep(plan, folder=folder, life=life)
    if not claim.is_fenced(folder) and lives.present_life(folder) == life:
        return True
    if (_read(folder) or {}).get("life") == life:  # the present life may have put its own there meanwhile
        (folder / PLAN_NAME).unlink()
    return False


def keep(plan: Plan, *, folder: Path, life: int) -> None:
    """Keep a plan in an attempt's folder as that of one life of its job."""
    write_json(folder / PLAN_NAME, {**asdict(plan), "life": life})


def has_begun(folder: Path) -> bool:
    """Tell whether an attempt's results were checked, and some may be in the dataset."""
    return is_listed_in(folder, PLAN_NAME)


def publish(plan: Plan) -> None:
    """Carry out a plan that was kept before; harmless when repeated.

    The output folder stays, nearly empty: until the job has left its record, it tells the run's next attempt that
    there was a plan.

    Raises:
        OSError: when a file can't be written; what was published stays, and a repetition goes on.
    """
    Path(plan.publish_dir).mkdir(parents=True, exist_ok=True)
    for path in plan.retired:
        _set_aside(plan, path)
    for path in plan.owned:
        _swap(plan, path)
    for path in plan.shared:
        if Path(path).name == DESCRIPTION_NAME and _merge_description(plan, path):
            continue
        _copy_shared(Path(plan.output_dir) / path, Path(plan.publish_dir) / path, token=plan.token)


def interrupted_plan(folder: Path, *, life: int | None = None) -> Plan | None:
    """Return the plan of a publication that had begun, None where none had.

    Args:
        life: the life of the job that must have made it; None: the present one. A plan of any other may have come
            after its output folder was given to the next life.
    """
    raw = _read(folder)
    if raw is None or raw.get("life", 0) != (lives.present_life(folder) if life is None else life):
        return None
    return _plan(raw)


def _read(folder: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads((folder / PLAN_NAME).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def parse_plan(raw: Mapping[str, Any]) -> Plan | None:
    """Return a plan that was kept, None for what is none."""
    try:
        return _plan(raw)
    except (KeyError, TypeError):
        return None


def _plan(raw: Mapping[str, Any]) -> Plan:
    return Plan(
        output_dir=raw["output_dir"],
        publish_dir=raw["publish_dir"],
        token=raw["token"],
        owned=tuple(raw["owned"]),
        retired=tuple(raw["retired"]),
        shared=tuple(raw["shared"]),
    )


def _owned_names(root: Path, patterns: Sequence[str]) -> list[str]:
    """Return the topmost names below a folder that the patterns own."""
    names = {name for pattern in patterns for name in owned_names(root, pattern)}
    found: list[str] = []
    for name in sorted(names, key=lambda name: name.split("/")):
        if name and name.partition("/")[0] != _OWN_FOLDER and not _is_below(name, found[-1:]):
            found.append(name)
    return found


def _is_below(path: str, names: Sequence[str]) -> bool:
    return any(path == name or path.startswith(name + "/") for name in names)


def _swap(plan: Plan, path: str) -> None:
    source = Path(plan.output_dir) / path
    if not exists(source):
        return  # an earlier life has placed it
    _set_aside(plan, path)
    target = Path(plan.publish_dir) / path
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy_owned(plan, source, target)


def _set_aside(plan: Plan, path: str) -> None:
    current = Path(plan.publish_dir) / path
    if not exists(current):
        return
    aside = plan.replaced_dir / path
    aside.parent.mkdir(parents=True, exist_ok=True)
    number = 0
    while exists(aside):  # only after an interruption: what is here now is a copy of ours, and yet not deleted
        number += 1
        aside = plan.replaced_dir / f"{path}.{number}"
    rename(current, aside)


def _copy_owned(plan: Plan, source: Path, target: Path) -> None:
    """Place a copy from another file system under a temporary name, then by one rename."""
    temporary = target.with_name(f".{target.name}.{plan.token}.tmp")
    _remove(temporary)
    if source.is_dir() and not source.is_symlink():
        shutil.copytree(source, temporary, symlinks=True)
    else:
        shutil.copy2(source, temporary, follow_symlinks=False)
    rename(temporary, target)
    # Out of sight by one rename: half a source must never look like a whole one to a repetition.
    placed = Path(plan.output_dir) / _PLACED_NAME / source.relative_to(plan.output_dir)
    placed.parent.mkdir(parents=True, exist_ok=True)
    rename(source, placed)
    _remove(placed)


def _merge_description(plan: Plan, path: str) -> bool:
    """Add what the tool says of the dataset to what is said there; False where one of them can't be read as JSON."""
    try:
        written = read_description(Path(plan.output_dir) / path)
        if written is not None:
            describe_dataset((Path(plan.publish_dir) / path).parent, (), written_by_tool=written)
    except ValueError:
        return False
    return True


def _copy_shared(source: Path, target: Path, *, token: str) -> None:
    if not exists(source) or _same(source, target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{token}.tmp")
    _remove(temporary)
    shutil.copy2(source, temporary, follow_symlinks=False)
    os.replace(temporary, target)  # noqa: PTH105


def _same(source: Path, target: Path) -> bool:
    if source.is_symlink() or target.is_symlink():
        return source.is_symlink() and target.is_symlink() and source.readlink() == target.readlink()
    return target.is_file() and filecmp.cmp(source, target, shallow=False)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        with suppress(FileNotFoundError):
            path.unlink()
