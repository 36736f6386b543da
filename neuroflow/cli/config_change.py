"""A change of values in the configuration's files: planned, shown as a diff, checked, and put in place whole."""

from __future__ import annotations

import difflib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from neuroflow.cluster.files import remove_stale_drafts, sync_folder
from neuroflow.config import NeuroflowConfig
from neuroflow.config.edit import set_values
from neuroflow.config.environment import SITE_VARIABLE
from neuroflow.config.shapes import KeyPath, dotted
from neuroflow.data import data_path
from neuroflow.errors import ConfigError
from neuroflow.masking import mask_text

_ENCODING = "utf-8"  # without a line break translated, or a mark at the start dropped
_CANDIDATE = ".new.yaml"  # how the names of new files end while they are checked


@dataclass(frozen=True)
class Edit:
    """One file as it is, and as it shall be."""

    named: Path  # as it is read
    path: Path  # links followed
    before: bytes
    after: bytes


@dataclass(frozen=True)
class Written:
    """A file that was changed, and where it is kept as it was."""

    path: Path
    backup: Path


@dataclass(frozen=True)
class Change:
    """What changes in which files, and what can't be changed there."""

    main: Path
    edits: tuple[Edit, ...]
    values: Mapping[KeyPath, int]
    obstacles: tuple[str, ...]

    def diff(self) -> str:
        """Return the change as a unified diff, secrets hidden."""
        lines: list[str] = []
        for edit in self.edits:
            before, after = (text.decode(_ENCODING).splitlines() for text in (edit.before, edit.after))
            name = str(edit.path)
            lines += difflib.unified_diff(before, after, name, name, lineterm="")
        return "".join(f"{mask_text(line)}\n" for line in lines)


def plan_change(config: NeuroflowConfig, values: Mapping[KeyPath, int]) -> Change:
    """Return how values are set: in the file that sets them now, or else in the main one.

    Raises:
        ConfigError: when a file can't be read or written, or a value can't be set without changing others.
    """
    by_file: dict[Path, dict[KeyPath, int]] = {}
    obstacles = []
    for key, value in values.items():
        layer = config.layer_of(key)
        if layer is not None and layer.path is None:
            obstacles.append(f"{dotted(key)} ({value}): {layer.place(key)} sets it, which outranks the files")
            continue
        # A shipped site file is the installation's, and its next release replaces it.
        here = layer.path if layer is not None and layer.path is not None and not _is_shipped(layer.path) else None
        by_file.setdefault(here or config.files[0], {})[key] = value
    edits = tuple(_edit(path, own) for path, own in by_file.items())
    possible = {key: value for own in by_file.values() for key, value in own.items()}
    return Change(config.files[0], edits, possible, tuple(obstacles))


def _is_shipped(path: Path) -> bool:
    return path.resolve().is_relative_to(data_path("site-configs").resolve())


def _edit(path: Path, values: Mapping[KeyPath, int]) -> Edit:
    real = path.resolve()
    try:
        before = real.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}", hint="look at its permissions") from error
    for place in (real, real.parent):
        if not os.access(place, os.W_OK):
            raise ConfigError(f"{place} can't be written by you", hint=f"ask its owner, {_owner(place)}, to do this")
    return Edit(path, real, before, set_values(before.decode(_ENCODING), values, path=path).encode(_ENCODING))


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except KeyError:
        return f"user {path.stat().st_uid}"


def put_in_place(change: Change, *, now: datetime) -> list[Written]:
    """Check the configuration that a change makes, keep the files as they were, and replace them.

    Raises:
        ConfigError: when the new configuration is not valid, or not what was wanted, or a file has changed meanwhile or
            can't be written; nothing has changed then.
    """
    try:
        with _candidates(change) as candidates:
            _check(change, candidates)
            for edit in change.edits:
                if edit.path.read_bytes() != edit.before:
                    raise ConfigError(f"{edit.path} has just been changed by someone else", hint="look again")
            written = [Written(edit.path, _keep(edit.path, now)) for edit in change.edits]
            for edit in change.edits:
                os.replace(candidates[edit.named].resolve(), edit.path)  # noqa: PTH105
                sync_folder(edit.path.parent)
    except OSError as error:
        raise ConfigError(f"{error.filename} can't be written: {error.strerror}", hint="nothing was changed") from error
    return written


@contextmanager
def _candidates(change: Change) -> Iterator[dict[Path, Path]]:
    """Write the new files beside the old ones for as long as the block runs; give them by the names that are read."""
    made: list[Path] = []
    candidates: dict[Path, Path] = {}
    try:
        for edit in change.edits:
            for path in (edit.path, edit.named):
                remove_stale_drafts(path.with_name(path.stem), ending=_CANDIDATE)  # they may hold passwords
            candidate = _beside(edit.path)
            _write_like(candidate, edit)
            made.append(candidate)
            if edit.named.parent.resolve() != edit.path.parent:
                # A link from elsewhere: paths in it are relative to the folder that the link is in.
                link = _beside(edit.named)
                link.symlink_to(candidate)
                made.append(link)
                candidate = link
            candidates[edit.named] = candidate
        yield candidates
    finally:
        for path in made:
            with suppress(OSError):
                path.unlink()


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.stem}.{os.getpid()}{_CANDIDATE}")


def _write_like(path: Path, edit: Edit) -> None:
    """Write a file with the permissions of the one that it shall replace: it may hold passwords."""
    like = edit.path.stat()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        with suppress(PermissionError):
            os.fchown(stream.fileno(), like.st_uid, like.st_gid)
        os.fchmod(stream.fileno(), like.st_mode & 0o7777)
        stream.write(edit.after)
        stream.flush()
        os.fsync(stream.fileno())


def _check(change: Change, candidates: Mapping[Path, Path]) -> None:
    from neuroflow.orchestrator.registry import get_registry

    environ = dict(os.environ)
    for path, candidate in candidates.items():
        if path != change.main:
            environ[SITE_VARIABLE] = str(candidate)
    config = NeuroflowConfig.find_and_load(candidates.get(change.main, change.main), environ=environ)
    get_registry(config)
    for key, value in change.values.items():
        found: object = config
        for part in key:
            found = getattr(found, str(part))
        if found != value:
            raise ConfigError(
                f"{dotted(key)} would be {found}, not {value}: nothing was changed", hint="set it by hand"
            )


def _keep(path: Path, now: datetime) -> Path:
    """Copy a file to a name that tells when."""
    name = f"{path.name}.bak-{now:%Y%m%dT%H%M%S}"
    number = 1
    backup = path.with_name(name)
    while backup.exists():
        number += 1
        backup = path.with_name(f"{name}-{number}")
    return Path(shutil.copy2(path, backup))
